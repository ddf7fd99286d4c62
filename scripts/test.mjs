/**
 * `npm test`: sets up, checks types and style, runs the tests, and ends with `N passed, N failed[, N skipped]`.
 *
 *   npm test                                        everything
 *   npm test -- test/wire/tcp.test.ts               one file (its compiled form works as well)
 *   npm test -- --grep=checksum                     any option of `tap run`
 *
 * Types and style count as one test each. A missing summary of tap is a failure. TSREPLAY_TEST_SECONDS_MAX (1500)
 * bounds the whole run, TSREPLAY_TEST_JOBS (2) the test files at a time.
 */
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { pathWithSbin, root, setup } from './setup.mjs';
import { TapReport } from './tap-report.mjs';

const SECONDS_MAX = Number(process.env.TSREPLAY_TEST_SECONDS_MAX ?? 1500);
const JOBS = Number(process.env.TSREPLAY_TEST_JOBS ?? 2);
const KILL_GRACE_MS = 5_000;
/** Of standard error, repeated at the end when a test file broke off without naming what failed. */
const ERROR_LINES = 20;

function compiledName(argument) {
  if (argument.startsWith('-')) return argument;
  const relative = path.relative(root, path.resolve(argument));
  const source = relative.replace(/^test\//, 'dist/test/').replace(/\.ts$/, '.js');
  return source.includes('dist/test') ? source : argument;
}

function checkStyle() {
  const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] };
  const args = ['node_modules/@biomejs/biome/bin/biome', 'check', '--colors=off', '--max-diagnostics=20', '.'];
  const result = spawnSync(process.execPath, args, options);
  return result.status === 0 ? '' : `${result.stdout ?? ''}${result.stderr ?? ''}` || 'biome did not run';
}

/** Passes standard error through, and keeps its last lines. */
function followErrors(stream) {
  const last = [];
  readline.createInterface({ input: stream }).on('line', (line) => {
    process.stderr.write(`${line}\n`);
    last.push(line);
    if (last.length > ERROR_LINES) last.shift();
  });
  return last;
}

/** Runs tap, its output to the report. Resolves with its exit status (124: the time was up) and its last errors. */
async function runTap(args, report) {
  const command = ['node_modules/.bin/tap', 'run', '--reporter=tap', `--jobs=${JOBS}`, ...args];
  const child = spawn(process.execPath, command, {
    cwd: root,
    env: { ...process.env, PATH: pathWithSbin, FORCE_COLOR: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let late = false;
  const stop = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // Gone already.
    }
  };
  const timer = setTimeout(() => {
    late = true;
    stop('SIGTERM');
    setTimeout(() => stop('SIGKILL'), KILL_GRACE_MS).unref();
  }, SECONDS_MAX * 1000);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop(signal));
  const closed = new Promise((resolve) => {
    child.once('exit', (code) => {
      // A test that was stopped may have left programs running, which would hold the output open.
      stop('SIGKILL');
      resolve(code ?? 1);
    });
  });
  const errors = followErrors(child.stderr);
  for await (const line of readline.createInterface({ input: child.stdout })) report.line(line);
  const code = await closed;
  clearTimeout(timer);
  return { code: late ? 124 : code, errors };
}

function printSkips(skips) {
  if (skips.length === 0) return;
  const byReason = new Map();
  for (const { name, reason } of skips) {
    byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
  }
  process.stdout.write('\nSkipped:\n');
  for (const [reason, names] of byReason) {
    process.stdout.write(`  ${reason || 'no reason given'}\n`);
    for (const name of names) process.stdout.write(`    ${name}\n`);
  }
}

/** At the end, because logs are cut at their beginning. */
function printFailures(report, errors) {
  const text = report.failureText();
  if (text === '') return;
  process.stdout.write(`\n${text}`);
  const brokeOff = report.failures.some(({ name }) => !name.includes(' > '));
  if (brokeOff && errors.length > 0) process.stdout.write(`Last lines of standard error:\n  ${errors.join('\n  ')}\n`);
}

/** One of the checks beside tap: types, style. */
function announce(name, message) {
  process.stdout.write(message ? `FAIL ${name}\n${message}\n` : `ok   ${name}\n`);
  return message ? 1 : 0;
}

async function main() {
  const { typeErrors } = setup('test');
  let failed = announce('types (tsc)', typeErrors) + announce('style (biome)', checkStyle());
  const passed = 2 - failed;
  const report = new TapReport((text) => process.stdout.write(`${text}\n`));
  const { code, errors } = await runTap(process.argv.slice(2).map(compiledName), report);
  const { summary } = report;
  printSkips(report.skips);
  printFailures(report, errors);
  if (code === 124) process.stdout.write(`\nStopped: the tests took longer than ${SECONDS_MAX} s\n`);
  if (!summary) {
    process.stdout.write('\nThe test runner ended without a summary: counted as a failure\n');
    failed += 1;
  } else {
    failed += Math.max(summary.fail, code === 0 ? 0 : 1);
  }
  const skipped = (summary?.skip ?? 0) + (summary?.todo ?? 0);
  const tail = skipped > 0 ? `, ${skipped} skipped` : '';
  process.stdout.write(`\n${passed + (summary?.pass ?? 0)} passed, ${failed} failed${tail}\n`);
  process.exitCode = failed > 0 ? 1 : 0;
}

main().catch((error) => {
  process.stdout.write(`${error.message}\n\n0 passed, 1 failed\n`);
  process.exitCode = 1;
});
