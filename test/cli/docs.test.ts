/** The documentation says what the program says. UPDATE_DOCS=1 writes the help text into it anew. */
import assert from 'node:assert/strict';
import t from 'tap';
import { buildCommand } from '../../src/cli/command_line.ts';
import { longHelp, shortHelp } from '../../src/cli/help.ts';
import { CliOption } from '../../src/cli/option_table.ts';
import { REPLAY_TABLE } from '../../src/cli/replay_table.ts';
import { jsonReport } from '../../src/cli/report_json.ts';
import { METRIC_ROWS, OUTPUT_METRIC_ROWS } from '../../src/metrics/index.ts';
import type { ReplayReport } from '../../src/replay/report.ts';
import { checkHelpPage } from './help_page.ts';

t.test('docs/tsreplay.md', (t) => {
  const text = checkHelpPage(t, REPLAY_TABLE);
  const rows = (heading: string): string[][] => {
    const table = text.slice(text.indexOf(heading)).split('\n\n')[0]!.split('\n').slice(2);
    return table.map((row) => row.split('|').map((cell) => cell.trim().replaceAll('`', '')));
  };
  const report = { packets: {}, files: [], startedAtMs: 0, finishedAtMs: 0 } as unknown as ReplayReport;
  t.same(
    rows('| field | type').map((row) => row[1]),
    Object.keys(jsonReport('', '', report, [])),
    'fields of --json',
  );
  const metrics = [
    ...OUTPUT_METRIC_ROWS.map(({ name, help }) => [name, 'counter', 'interface', help]),
    ...METRIC_ROWS.map(({ name, kind, help }) => [name, kind, '', help]),
  ];
  t.same(
    rows('| metric | type').map((row) => row.slice(1, 5)),
    metrics,
    'metrics',
  );
  t.end();
});

t.test('every option is explained', (t) => {
  const command = buildCommand(REPLAY_TABLE);
  const help = longHelp(REPLAY_TABLE);
  const short = shortHelp(REPLAY_TABLE);
  const letters = new Set<string>();
  for (const option of command.options) {
    assert.ok(option instanceof CliOption, `${option.flags} is in a table`);
    const { name, short: letter, refusal } = option.row;
    if (!new RegExp(`--${name}[\\n=\\[]`).test(help)) t.fail(`--${name} is missing in the help`);
    if (refusal === undefined && !short.includes(`--${name}`)) t.fail(`--${name} is missing in the short help`);
    if ((option.row.help ?? '') === '' && refusal === undefined) t.fail(`--${name} has no text`);
    if (letter !== undefined && letters.has(letter)) t.fail(`-${letter} is given twice`);
    if (letter !== undefined) letters.add(letter);
  }
  for (const line of [...help.split('\n'), ...short.split('\n')]) if (line.length > 100) t.fail(`too long: ${line}`);
  const numbers = /^(N|SEC|MS|PERCENT|BYTES)$/;
  for (const option of command.options as CliOption[]) {
    const { name, value, unit, default: standard, group } = { group: option.helpGroupHeading, ...option.row };
    if (group?.startsWith('Rewriting') || value === undefined || !numbers.test(value) || option.hidden) continue;
    if (name.endsWith('seed') || name === 'workers' || name === 'dbug') continue;
    if (unit === undefined) t.fail(`--${name} says no unit`);
    if (standard === undefined && !['pps', 'mbps'].includes(name)) t.fail(`--${name} says no default`);
  }
  t.equal(command.options.length > 90, true, `${command.options.length} options`);
  t.end();
});
