/**
 * Counts packets that are handed to JavaScript, and writes none: by the package cap's callback, or by `openCapture`.
 * For each it looks at length and ethertype. `node capture_counter.js cap|library INTERFACE BUFFER_BYTES`, to SIGINT.
 */
import { createRequire } from 'node:module';
import { openCapture } from '../src/capture/index.ts';

export interface Counted {
  readonly packets: number;
  readonly bytes: number;
  /** Of IPv4: that each was looked at. */
  readonly ipv4: number;
  /** By the kernel; null: cap does not say. */
  readonly dropped: number | null;
}

const ETHERTYPE_AT = 12;
const ETHERTYPE_IPV4 = 0x0800;
const FRAME_BYTES_MAX = 65_535;

interface CapHandle {
  open(device: string, filter: string, bufferBytes: number, buffer: Buffer): string;
  setMinBytes?(bytes: number): void;
  close(): void;
  on(event: 'packet', listener: (bytes: number) => void): void;
}

function tell(counted: Counted): void {
  process.stdout.write(JSON.stringify(counted));
}

function countByCap(name: string, bufferBytes: number): void {
  const { Cap } = createRequire(import.meta.url)('cap') as { Cap: new () => CapHandle };
  const cap = new Cap();
  const buffer = Buffer.alloc(FRAME_BYTES_MAX);
  const view = new DataView(buffer.buffer, buffer.byteOffset);
  let [packets, bytes, ipv4] = [0, 0, 0];
  cap.on('packet', (length) => {
    packets++;
    bytes += length;
    if (view.getUint16(ETHERTYPE_AT) === ETHERTYPE_IPV4) ipv4++;
  });
  cap.open(name, '', bufferBytes, buffer);
  cap.setMinBytes?.(0);
  process.on('SIGINT', () => {
    cap.close();
    tell({ packets, bytes, ipv4, dropped: null });
    process.exit(0);
  });
}

async function countByLibrary(name: string, bufferBytes: number): Promise<void> {
  const capture = openCapture({ interfaces: [name], bufferBytes });
  process.on('SIGINT', () => capture.stop());
  let [packets, bytes, ipv4] = [0, 0, 0];
  for await (const batch of capture) {
    const { view } = batch.region;
    packets += batch.count;
    for (let i = 0; i < batch.count; i++) {
      bytes += batch.caplen[i]!;
      if (view.getUint16(batch.at[i]! + ETHERTYPE_AT) === ETHERTYPE_IPV4) ipv4++;
    }
  }
  tell({ packets, bytes, ipv4, dropped: capture.counts().droppedByKernel });
  process.exit(0);
}

const [how, name, bufferBytes] = process.argv.slice(2);
if (how === 'cap') countByCap(name!, Number(bufferBytes));
else void countByLibrary(name!, Number(bufferBytes));
process.stderr.write(`listening on ${name}\n`);
