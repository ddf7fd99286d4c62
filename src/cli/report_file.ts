/** Files that a run writes at its end: refused before it begins, and never half written. */
import fs from 'node:fs';
import path from 'node:path';
import { OperatorError } from '../base/errors.ts';
import { reasonOf } from './inputs.ts';

/** Throws FILE where the file could not be written. */
export function checkReportFile(file: string, option: string): void {
  try {
    fs.accessSync(path.dirname(path.resolve(file)), fs.constants.W_OK);
    if (fs.statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw new Error('it is a directory');
  } catch (cause) {
    throw new OperatorError('FILE', `${option}: ${file} cannot be written: ${reasonOf(cause)}`, { cause });
  }
}

/** Takes the place of a file of that name at once, or leaves it as it is. Throws what `node:fs` throws. */
export function writeReportFile(file: string, text: string): void {
  const beside = path.join(path.dirname(path.resolve(file)), `.${path.basename(file)}.${process.pid}`);
  try {
    fs.writeFileSync(beside, text, { flush: true } as fs.WriteFileOptions);
    fs.renameSync(beside, file);
  } catch (error) {
    fs.rmSync(beside, { force: true });
    throw error;
  }
}
