/** The demo as a newcomer runs it. */
import path from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { runProgram } from '../../lab/process.ts';
import { packageRoot } from '../structure/repository.ts';

t.test('npm run demo', { skip: labUnavailable() ?? false }, async (t) => {
  const demo = path.join(packageRoot(), 'scripts/demo.mjs');
  const { status, stdout, stderr } = runProgram([process.execPath, demo], { check: false, timeoutMs: 120_000 });
  t.equal(status, 0, stderr);
  t.match(stdout, /sent (\d+), received \1, lost by the capture 0\n/);
  t.match(stdout, /bytes and order: the same as in the file/);
  t.match(stdout, /gap error p50 [\d.]+ µs, p99 [\d.]+ µs, max [\d.]+ µs/);
  t.match(stdout, /the two logs are the same, line by line/, 'live sessions are copied');
  const [asked, took] = [...stdout.matchAll(/(?:asked:|took:) ([\d.]+) s/g)].map((match) => Number(match[1]));
  t.ok(asked && took && took > asked * 0.9 && took < asked * 2, `took ${took} s of ${asked} s`);
});
