/** `tscap`: argv to plan to run to exit status. */
import os from 'node:os';
import { Exit, OperatorError } from '../base/errors.ts';
import { firstInterface, interfaceLines } from './capture_list.ts';
import { type CaptureCliOptions, capturePlan } from './capture_spec.ts';
import { CAPTURE_TABLE } from './capture_table.ts';
import { commandMain, type RunLine } from './command_main.ts';
import { namespaceOf } from './namespace_options.ts';
import type { Terminal } from './terminal.ts';
import { readTextFile } from './text_file.ts';
import { usage } from './values.ts';
import { packageVersion } from './version.ts';

/** Never rejects. */
export function captureMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  return commandMain(CAPTURE_TABLE, argv, terminal, (line) => capture(line, terminal));
}

async function capture(line: RunLine, terminal: Terminal): Promise<Exit> {
  const options = line.options as CaptureCliOptions;
  const { listInterfaces } = await import('../device/interface_list.ts');
  const list = () => listInterfaces(namespaceOf(options));
  if (options.listInterfaces || options.list) {
    for (const text of interfaceLines(list())) terminal.out(text);
    return Exit.Done;
  }
  const plan = capturePlan(options, filterOf(options, line.operands), {
    defaultInterface() {
      const name = firstInterface(list());
      if (name === null) throw new OperatorError('INTERFACE', 'no interface is up: tscap --list shows them');
      return name;
    },
    version: packageVersion(),
    os: `${os.type()} ${os.release()}`,
  });
  const { runCapture } = await import('./capture_run.ts');
  return runCapture(plan, options, terminal);
}

function filterOf(options: CaptureCliOptions, operands: readonly string[]): string {
  if (options.filterFile === undefined) return operands.join(' ');
  if (operands.length > 0) throw usage('the filter stands either in --filter-file or behind the options');
  const lines = readTextFile(options.filterFile).split('\n');
  return lines
    .map((text) => text.replace(/#.*$/, ''))
    .join(' ')
    .trim();
}
