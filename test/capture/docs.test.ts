/** docs/tscap.md says what the program says. UPDATE_DOCS=1 writes help text and metrics into it anew. */
import t from 'tap';
import type { CaptureSnapshot } from '../../src/capture/report.ts';
import { captureJson } from '../../src/cli/capture_report.ts';
import { CAPTURE_TABLE } from '../../src/cli/capture_table.ts';
import { buildCommand } from '../../src/cli/command_line.ts';
import { longHelp, shortHelp } from '../../src/cli/help.ts';
import type { CliOption } from '../../src/cli/option_table.ts';
import { CAPTURE_DROPS, CAPTURE_METRIC_ROWS, captureRegistry } from '../../src/metrics/index.ts';
import { checkHelpPage } from '../cli/help_page.ts';

t.test('docs/tscap.md', async (t) => {
  const text = checkHelpPage(t, CAPTURE_TABLE);
  for (const { name, kind, help: meaning } of CAPTURE_METRIC_ROWS) {
    t.ok(text.includes(`| \`${name}\` | ${kind} | ${meaning} |`), name);
  }
  for (const [by] of CAPTURE_DROPS) t.ok(text.includes(`\`${by}\``), by);
  for (const field of Object.keys(captureJson({} as CaptureSnapshot))) t.ok(text.includes(`| \`${field}\` |`), field);
});

t.test('every option is explained, every letter once', async (t) => {
  const letters = new Set<string>();
  const texts = `${longHelp(CAPTURE_TABLE)}${shortHelp(CAPTURE_TABLE)}`;
  for (const option of buildCommand(CAPTURE_TABLE).options as CliOption[]) {
    const { name, short, help } = option.row;
    t.ok(help && texts.includes(`--${name}`), name);
    t.notOk(short !== undefined && letters.has(short), `-${short} once`);
    if (short !== undefined) letters.add(short);
  }
  t.same(
    texts.split('\n').filter((line) => line.length > 100),
    [],
    'lines are short enough',
  );
});

t.test('metrics of a snapshot', async (t) => {
  const zero = { received: 9, filtered: 0, shed: 2, droppedByKernel: 3, droppedByInterface: 0, droppedDiskFull: 0 };
  const more = {
    droppedCompressor: 0,
    droppedUnwritable: 0,
    droppedBroken: 0,
    frozen: 0,
    fileBytes: 0,
    files: 1,
    written: 4,
    bytes: 400,
  };
  const text = await captureRegistry(() => ({ ...zero, ...more, diskFull: false, seconds: 1 })).metrics();
  t.match(text, /tscap_packets_received_total 9\n/);
  t.match(text, /tscap_packets_dropped_total\{by="kernel"\} 3\n/);
  t.match(text, /tscap_packets_dropped_total\{by="cpu_limit"\} 2\n/);
});
