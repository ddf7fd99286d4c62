/**
 * An HTTP client with an open loop: requests leave at times that were fixed before, whether or not the server has
 * answered, and latency counts from these times. A server that stands still for a moment is so seen by every request
 * of that moment. Spins on its processor: `node capture_client.js '{"host":"10.77.0.2","rate":30000,"seconds":3}'`.
 */
import net from 'node:net';
import { anonymousRegion } from '../src/device/host.ts';
import { isTransient, readInto, writeFrom } from '../src/sys/file.ts';
import { quantile } from './measure.ts';

export interface ClientSpec {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
  readonly connections: number;
}

/** Microseconds, of the requests behind the first half second. */
export interface ClientResult {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Answers a second. */
  readonly rate: number;
}

/** In which the client's own code is compiled. */
const WARM_UP_SECONDS = 0.5;
/** Requests that may leave late in a row before answers are looked at. */
const BURST_MOST = 32;
const READ_BYTES = 256 * 1024;
const ANSWER_MS_MAX = 10_000;

type Descriptor = net.Socket & { readonly _handle: { readonly fd: number } };

async function connect({ host, port }: ClientSpec): Promise<number> {
  const socket = net.connect({ host, port, noDelay: true }) as Descriptor;
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket._handle.fd;
}

class OpenLoop {
  readonly #spec: ClientSpec;
  readonly #fds: readonly number[];
  readonly #request: ReturnType<typeof anonymousRegion>;
  readonly #answers = anonymousRegion(READ_BYTES);
  readonly #requestBytes: number;
  /** Of each connection: requests sent, answers, bytes of an answer that is not whole. */
  readonly #sent: Int32Array;
  readonly #answered: Int32Array;
  readonly #partBytes: Int32Array;

  constructor(spec: ClientSpec, fds: readonly number[]) {
    const text = new TextEncoder().encode(`GET ${spec.path} HTTP/1.1\r\nHost: bench\r\n\r\n`);
    this.#spec = spec;
    this.#fds = fds;
    this.#request = anonymousRegion(text.length);
    this.#request.bytes.set(text);
    this.#requestBytes = text.length;
    this.#sent = new Int32Array(fds.length);
    this.#answered = new Int32Array(fds.length);
    this.#partBytes = new Int32Array(fds.length);
  }

  /** False: there is no room, as the server is behind. The request is late then, and its latency counts that. */
  #send(connection: number): boolean {
    const result = writeFrom(this.#fds[connection]!, this.#request.address, this.#requestBytes);
    if (result === this.#requestBytes) return true;
    if (result < 0 && isTransient(result)) return false;
    throw new Error(`a request did not leave whole: ${result}`);
  }

  #receive(connection: number): number {
    const result = readInto(this.#fds[connection]!, this.#answers.address, READ_BYTES);
    if (result > 0) return result;
    if (result < 0 && isTransient(result)) return 0;
    throw new Error(`a connection broke: ${result}`);
  }

  /** Bytes of one answer: all are alike. */
  #answerBytes(): number {
    this.#send(0);
    const end = performance.now() + ANSWER_MS_MAX;
    while (performance.now() < end) {
      const bytes = this.#receive(0);
      if (bytes > 0) return bytes;
    }
    throw new Error('the server does not answer');
  }

  run(): ClientResult {
    const { rate, seconds } = this.#spec;
    const answerBytes = this.#answerBytes();
    const skipped = Math.round(rate * WARM_UP_SECONDS);
    const total = skipped + Math.round(rate * seconds);
    const latencies = new Float64Array(total);
    const connections = this.#fds.length;
    const gapMs = 1000 / rate;
    const start = performance.now() + 1;
    let sent = 0;
    let answered = 0;
    let now = start;
    while (answered < total) {
      for (let n = 0; n < BURST_MOST && sent < total && start + sent * gapMs <= now; n++, sent++) {
        const connection = sent % connections;
        if (!this.#send(connection)) break;
        this.#sent[connection]!++;
      }
      for (let c = 0; c < connections; c++) {
        if (this.#answered[c] === this.#sent[c]) continue;
        let bytes = this.#partBytes[c]! + this.#receive(c);
        now = performance.now();
        for (; bytes >= answerBytes; bytes -= answerBytes, answered++) {
          const n = this.#answered[c]!++ * connections + c;
          latencies[n] = now - (start + n * gapMs);
        }
        this.#partBytes[c] = bytes;
      }
      now = performance.now();
      if (now - start > (total / rate) * 1000 + ANSWER_MS_MAX) throw new Error('answers are missing');
    }
    const counted = Array.from(latencies.subarray(skipped), (ms) => ms * 1000);
    const from = start + skipped * gapMs;
    return {
      p50: quantile(counted, 0.5),
      p99: quantile(counted, 0.99),
      max: quantile(counted, 1),
      rate: ((total - skipped) / (now - from)) * 1000,
    };
  }
}

async function main(text: string): Promise<void> {
  const spec = JSON.parse(text) as ClientSpec;
  const fds: number[] = [];
  for (let n = 0; n < spec.connections; n++) fds.push(await connect(spec));
  process.stdout.write(JSON.stringify(new OpenLoop(spec, fds).run()));
  process.exit(0);
}

await main(process.argv[2]!);
