/** Micro-benchmarks of the wire and flow layers: `node dist/bench/wire.js`. Figures are ns a frame over 256 frames. */
import { bench, run, summary } from 'mitata';
import { flowHash } from '../src/flow/hash.ts';
import { FlowTable } from '../src/flow/table.ts';
import { checksumAdd } from '../src/wire/checksum.ts';
import { crc32c } from '../src/wire/crc32c.ts';
import { decode } from '../src/wire/decode.ts';
import { Layers } from '../src/wire/layers.ts';
import { Linktype } from '../src/wire/linktype.ts';
import { rewriteDstPort, rewriteSrcIpv4 } from '../src/wire/transport.ts';
import { fixChecksums } from '../src/wire/verify.ts';

const FRAMES = 256;
const SLOT_BYTES = 2048;

/** A region of frames, `bytes` long each, all alike but for the source port and address. */
function region(headerHex: string, bytes: number, portAt: number, addressAt: number): DataView {
  const whole = new Uint8Array(FRAMES * SLOT_BYTES);
  const view = new DataView(whole.buffer);
  const header = Buffer.from(headerHex.replaceAll(' ', ''), 'hex');
  for (let i = 0; i < FRAMES; i++) {
    const at = i * SLOT_BYTES;
    for (let j = 0; j < bytes; j++) whole[at + j] = (i * 31 + j * 7) & 0xff;
    whole.set(header, at);
    view.setUint16(at + portAt, 1024 + i);
    view.setUint32(at + addressAt, 0x0a000000 + (i & 15));
  }
  return view;
}

const ETHERNET = '020000000001 020000000002';
const IPV4_TCP = '4500 05dc 0001 4000 4006 0000 0a000001 0a000002';
const TCP = '1f90 0050 00000001 00000002 8010 0100 0000 0000 0101080a 00000001 00000002';
const tcp4 = region(`${ETHERNET} 0800 ${IPV4_TCP} ${TCP}`, 1514, 34, 26);
const vlan = region(`${ETHERNET} 8100 0064 0800 ${IPV4_TCP} ${TCP}`, 1518, 38, 30);
const tcp6 = region(
  `${ETHERNET} 86dd 60000000 05b4 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002 ${TCP}`,
  1514,
  54,
  34,
);
const vxlan = region(
  `${ETHERNET} 0800 4500 05dc 0001 4000 4011 0000 0a000001 0a000002 c000 12b5 05c8 0000 08000000 00002a00` +
    `${ETHERNET} 0800 4500 05aa 0001 4000 4006 0000 0a000001 0a000002 ${TCP}`,
  1514,
  34,
  26,
);

const layers = new Layers();

function decodeAll(view: DataView, bytes: number): number {
  let sum = 0;
  for (let i = 0; i < FRAMES; i++) {
    const at = i * SLOT_BYTES;
    decode(view, at, at + bytes, Linktype.EN10MB, layers);
    sum += layers.l4;
  }
  return sum;
}

function noteAll(table: FlowTable, view: DataView, bytes: number): number {
  for (let i = 0; i < FRAMES; i++) {
    const at = i * SLOT_BYTES;
    decode(view, at, at + bytes, Linktype.EN10MB, layers);
    table.note(view, layers, i);
  }
  return table.flows;
}

function perFrame(name: string, body: () => number): void {
  bench(`${name} (x${FRAMES})`, body);
}

const table = new FlowTable({ slots: 4096 });
summary(() => {
  perFrame('decode Ethernet IPv4 TCP', () => decodeAll(tcp4, 1514));
  perFrame('decode Ethernet VLAN IPv4 TCP', () => decodeAll(vlan, 1518));
  perFrame('decode Ethernet IPv6 TCP', () => decodeAll(tcp6, 1514));
  perFrame('decode Ethernet IPv4 UDP VXLAN Ethernet IPv4 TCP', () => decodeAll(vxlan, 1514));
  perFrame('decode + flow hash', () => {
    let sum = 0;
    for (let i = 0; i < FRAMES; i++) {
      const at = i * SLOT_BYTES;
      decode(tcp4, at, at + 1514, Linktype.EN10MB, layers);
      sum ^= flowHash(tcp4, layers);
    }
    return sum;
  });
  perFrame('decode + flow table', () => noteAll(table, tcp4, 1514));
  perFrame('decode + flow table IPv6', () => noteAll(table, tcp6, 1514));
  perFrame('decode + rewrite source address and destination port', () => {
    for (let i = 0; i < FRAMES; i++) {
      const at = i * SLOT_BYTES;
      decode(tcp4, at, at + 1514, Linktype.EN10MB, layers);
      rewriteSrcIpv4(tcp4, layers, 0x0a000000 + i);
      rewriteDstPort(tcp4, layers, 8080);
    }
    return layers.l4;
  });
  perFrame('decode + fixChecksums 1514 bytes', () => {
    for (let i = 0; i < FRAMES; i++) {
      const at = i * SLOT_BYTES;
      decode(tcp4, at, at + 1514, Linktype.EN10MB, layers);
      fixChecksums(tcp4, layers);
    }
    return layers.l4;
  });
});
summary(() => {
  for (const bytes of [20, 64, 1480]) {
    perFrame(`checksumAdd ${bytes} bytes`, () => {
      let sum = 0;
      for (let i = 0; i < FRAMES; i++) sum ^= checksumAdd(tcp4, i * SLOT_BYTES + 14, i * SLOT_BYTES + 14 + bytes);
      return sum;
    });
  }
  perFrame('crc32c 1480 bytes', () => {
    let sum = 0;
    for (let i = 0; i < FRAMES; i++) sum ^= crc32c(tcp4, i * SLOT_BYTES + 14, i * SLOT_BYTES + 1494);
    return sum;
  });
});

await run();
