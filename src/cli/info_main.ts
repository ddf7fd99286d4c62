/** `tsinfo`: argv to reports to exit status. */
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { Exit, OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import { Survey } from '../flow/survey_index.ts';
import { openCapture } from '../pcap/open.ts';
import { commandMain, type RunLine } from './command_main.ts';
import { oneLine } from './failure.ts';
import { captureFacts } from './info_facts.ts';
import { type FileReport, fileReport, type InfoReport } from './info_report.ts';
import { INFO_TABLE, MTU_DEFAULT, TOP_DEFAULT } from './info_table.ts';
import { expandInputs } from './inputs.ts';
import type { Terminal } from './terminal.ts';
import { usage } from './values.ts';
import { packageVersion } from './version.ts';

interface InfoOptions {
  readonly json?: true;
  readonly html?: string;
  readonly dump?: true;
  readonly quiet?: true;
  readonly mtu?: number;
  readonly top?: number;
}

/** Never rejects. */
export function infoMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  return commandMain(INFO_TABLE, argv, terminal, (line) => info(line, terminal));
}

async function info(line: RunLine, terminal: Terminal): Promise<Exit> {
  const options = line.options as InfoOptions;
  if (line.operands.length === 0) throw usage('no capture is named: tsinfo FILE (see tsinfo --help)');
  if (options.dump) return dump(line.operands, terminal);
  if (line.operands.filter((path) => path === '-').length > 1) {
    throw usage('"-" is named twice, but standard input can be read once only');
  }
  const inputs = expandInputs(line.operands);
  for (const warning of inputs.warnings) terminal.error(`Warning: ${oneLine(warning)}`);
  const mtu = options.mtu ?? MTU_DEFAULT;
  const files: FileReport[] = [];
  let exit: Exit = Exit.Done;
  for (const path of inputs.files) {
    const file = describe(path, mtu, options.top ?? TOP_DEFAULT, terminal);
    if (file === null || file.fault !== null) exit = Exit.Incomplete;
    if (file === null) continue;
    if (!options.json) await printText(file, files.length > 0, options.quiet ?? false, terminal);
    if (file.fault !== null) terminal.error(`tsinfo: ${file.fault}`);
    // Text is printed file by file; only what is still to be written is kept.
    if (options.json || options.html !== undefined || files.length === 0) files.push(file);
  }
  const report: InfoReport = { tool: 'tsinfo', version: packageVersion(), mtu, files, warnings: inputs.warnings };
  if (options.json) terminal.out(JSON.stringify(report, null, 2));
  if (options.html !== undefined) {
    const { htmlReport } = await import('./info_html.ts');
    const { writeTextFile } = await import('./text_file.ts');
    writeTextFile(options.html, htmlReport(report));
  }
  return exit;
}

/** Null: it could not even be opened, which has been said. */
function describe(path: string, mtu: number, top: number, terminal: Terminal): FileReport | null {
  let reader: ReturnType<typeof openCapture>;
  try {
    reader = openCapture(path, { details: true });
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    terminal.error(`tsinfo: ${oneLine(error.message)}`);
    return null;
  }
  const survey = new Survey(mtu);
  const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  let fault: string | null = null;
  try {
    while (reader.read(batch) > 0) survey.take(batch);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    fault = oneLine(error.message);
  } finally {
    reader.close();
  }
  return fileReport(captureFacts(reader, survey, fault, top), mtu);
}

async function printText(file: FileReport, further: boolean, quiet: boolean, terminal: Terminal): Promise<void> {
  const { factLines, readyLines } = await import('./info_text.ts');
  const lines: string[] = [];
  if (!quiet) {
    if (further) lines.push('');
    lines.push(...factLines(file, { charts: true }), '');
  }
  lines.push(...readyLines(file.path, file.obstacles));
  terminal.out(lines.join('\n'));
}

async function dump(paths: readonly string[], terminal: Terminal): Promise<Exit> {
  const { dumpFile } = await import('./info_dump.ts');
  let exit: Exit = Exit.Done;
  for (const path of paths) {
    const wrong = dumpFile(path, terminal);
    if (wrong === null) continue;
    terminal.error(`tsinfo: ${oneLine(wrong)}`);
    exit = Exit.Incomplete;
  }
  return exit;
}
