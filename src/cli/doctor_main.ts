/** `tscopy doctor`: argv to request to checks to exit status. */
import { Exit } from '../base/errors.ts';
import { type Check, type Diagnosis, hostPortText, runDoctor } from '../copy/doctor/index.ts';
import { commandMain } from './command_main.ts';
import { type CopyOptions, copyRequestFrom } from './copy_spec.ts';
import { DOCTOR_TABLE } from './doctor_table.ts';
import { checkLine, pictureLines, verdictOf } from './doctor_text.ts';
import { oneLine } from './failure.ts';
import type { Terminal } from './terminal.ts';
import { usage } from './values.ts';

const TITLES = { ok: 'All right', warning: 'All right', unknown: 'As far as can be seen', broken: 'Broken' } as const;

/** `argv`: behind the word `doctor`. Never rejects. */
export function doctorMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  return commandMain(DOCTOR_TABLE, argv, terminal, async (line) => {
    if (line.operands.length > 0) throw usage(`tscopy doctor takes options only, not "${line.operands[0]}"`);
    const options = line.options as CopyOptions;
    const isShared = (options.map?.length ?? 0) + (options.target?.length ?? 0) > 1;
    const onCheck = (check: Check): void => {
      if (options.json) terminal.out(JSON.stringify({ event: 'check', ...check }));
      else terminal.out(oneLine(checkLine(check, isShared)));
    };
    const diagnosis = await runDoctor(copyRequestFrom(options), { from: options.probeFrom ?? [], onCheck });
    tell(diagnosis, options.json === true, terminal);
    if (diagnosis.refusal !== null) return diagnosis.refusal.exit;
    return verdictOf(diagnosis.checks).status === 'broken' ? Exit.Incomplete : Exit.Done;
  });
}

function tell({ checks, spec }: Diagnosis, isJson: boolean, terminal: Terminal): void {
  const { status, text, hop } = verdictOf(checks);
  if (isJson) {
    terminal.out(JSON.stringify({ event: 'verdict', status, text, hop }));
    return;
  }
  for (const target of spec?.targets ?? []) {
    const interception = spec!.replies.kind === 'local' ? null : hostPortText(spec!.replies);
    terminal.out('');
    for (const line of pictureLines(hostPortText(target), interception, checks)) terminal.out(line);
  }
  if (spec !== null) terminal.out('');
  terminal.out(oneLine(`${TITLES[status]}: ${text}.`));
}
