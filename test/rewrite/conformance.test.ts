/**
 * The reference tool's own golden files, byte for byte: every tcprewrite case that compares bytes.
 * They lie beside the repository where there are any; without them the test is skipped.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import t from 'tap';
import { addRewriteOptions, rewriteSpecFrom } from '../../src/cli/rewrite_options.ts';
import { compileRewriter, Direction, Edit, EMPTY_REWRITE } from '../../src/rewrite/index.ts';
import { packageRoot } from '../structure/repository.ts';
import { batchOf, type Capture, frameBytes, type Record, readPcap, writePcap } from './support.ts';

interface Case {
  readonly name: string;
  readonly tool: string;
  readonly args: readonly string[];
  readonly expected: { readonly le?: string };
  readonly compare: string;
}

const folder = join(packageRoot(), '..', 'shared', 'conformance', 'tcpreplay');
const manifest = join(folder, 'manifest.json');

/** Packet k of a tcpprep cache (version 04): [is primary, is sent]. */
function readCache(path: string): readonly (readonly [boolean, boolean])[] {
  const bytes = readFileSync(path);
  const packets = Number(bytes.readBigUInt64BE(12));
  const start = 24 + bytes.readUInt16BE(22);
  return Array.from({ length: packets }, (_, k) => {
    const bits = bytes[start + (k >> 2)]! >> (2 * (k & 3));
    return [(bits & 1) !== 0, (bits & 2) !== 0] as const;
  });
}

function rewrite(input: Capture, args: readonly string[]): Capture {
  const command = new Command().exitOverride().allowExcessArguments();
  for (const flags of ['-i <file>', '-o <file>', '-c <file>', '--skip-soft-errors']) command.option(flags);
  addRewriteOptions(command);
  command.parse([...args], { from: 'user' });
  const options = command.opts();
  const cache = options['c'] === undefined ? null : readCache(options['c']);
  const spec = rewriteSpecFrom(options, { compat: 'tcprewrite' }) ?? { ...EMPTY_REWRITE, compat: 'tcprewrite' };
  const rewriter = compileRewriter(spec);
  const batch = batchOf(input.records, input.linktype);
  const records: Record[] = [];
  for (const [i, { sec, fraction }] of input.records.entries()) {
    const isPrimary = cache === null || cache[i]![0];
    const status = rewriter.edit(batch, i, isPrimary ? Direction.ClientToServer : Direction.ServerToClient);
    if (status === Edit.Drop || (status === Edit.SoftError && options['skipSoftErrors'])) continue;
    records.push({ sec, fraction, len: batch.len[i]!, data: frameBytes(batch, i) });
  }
  return { linktype: rewriter.linktypeAfter(input.linktype), nanoseconds: input.nanoseconds, records };
}

t.test('golden files of the reference tool', { skip: existsSync(manifest) ? false : `needs ${manifest}` }, (t) => {
  const cases: readonly Case[] = JSON.parse(readFileSync(manifest, 'utf8')).cases;
  const compared = cases.filter((one) => one.tool === 'tcprewrite' && one.compare === 'bytes');
  t.equal(compared.length, 35);
  for (const { name, args, expected } of compared) {
    t.test(name, (t) => {
      const filled = args.map((arg) => arg.replace('{DIR}', folder).replace('{OUT}', 'out.pcap'));
      const input = readPcap(filled[filled.indexOf('-i') + 1]!);
      const golden = join(folder, expected.le!);
      const got = rewrite(input, filled);
      const want = readPcap(golden);
      // Packet by packet first, so that a difference names its packet.
      for (const [i, record] of want.records.entries()) {
        deepEqual({ packet: i + 1, ...got.records[i] }, { packet: i + 1, ...record });
      }
      equal(Buffer.compare(writePcap(got), readFileSync(golden)), 0, 'the whole file');
      t.pass(`${got.records.length} packets`);
      t.end();
    });
  }
  t.end();
});
