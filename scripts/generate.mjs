/**
 * Makes a large capture:
 *
 *   node scripts/generate.mjs out.pcap [--packets 1000000] [--size 64] [--flows 1000] [--gap-us 1]
 *                                      [--protocol tcp|udp|mixed]
 */
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root, setup } from './setup.mjs';

const NUMBER = { type: 'string' };
const OPTIONS = { packets: NUMBER, size: NUMBER, flows: NUMBER, 'gap-us': NUMBER, protocol: { type: 'string' } };
const PROTOCOLS = ['tcp', 'udp', 'mixed'];

async function main() {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (positionals.length !== 1) throw new Error('name one file to write: node scripts/generate.mjs out.pcap');
  const { protocol = 'mixed', 'gap-us': gapUs } = values;
  if (!PROTOCOLS.includes(protocol)) throw new Error(`--protocol is ${protocol}: one of ${PROTOCOLS.join(', ')}`);
  setup('build');
  const { generateCapture } = await import(path.join(root, 'dist/lab/generate.js'));
  const spec = { protocol };
  for (const name of ['packets', 'size', 'flows']) if (values[name] !== undefined) spec[name] = Number(values[name]);
  if (gapUs !== undefined) spec.gapNs = Math.round(Number(gapUs) * 1000);
  const started = performance.now();
  const bytes = generateCapture(positionals[0], spec);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${positionals[0]}: ${bytes} bytes in ${seconds} s\n`);
}

main().catch((error) => {
  process.stderr.write(`generate: ${error.message}\n`);
  process.exitCode = 2;
});
