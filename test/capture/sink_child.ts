/** Writes frames to a sink until it ends or is killed: `sink_child.js PATH FORMAT CODEC|-`. */
import { openCaptureSink } from '../../src/capture/sink/open.ts';
import { FrameMaker, spec } from './sink_rig.ts';

const [path = '-', format = 'pcap', codec = '-'] = process.argv.slice(2);
const sink = openCaptureSink(
  spec(path, {
    format: format as 'pcap',
    flushMs: 0,
    ...(codec === '-' ? {} : { compress: { codec: codec as 'zstd', level: 1 }, compressorBehind: 'wait' as const }),
  }),
);
const maker = new FrameMaker();
// bounded: 2 GB at most
while (!sink.ended && maker.count < 2_500_000) {
  sink.writeBatch(maker.next());
  sink.tick(Date.now());
  if (maker.count % 25_600 === 0) await new Promise((resolve) => setImmediate(resolve));
}
sink.close();
const { fault, stats } = sink;
process.stderr.write(JSON.stringify({ fault: fault?.message ?? null, offered: maker.count, ...stats }));
