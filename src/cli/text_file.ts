/** Small text files that the operator names: option files, YAML. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { reasonOf } from './inputs.ts';
import { usage } from './values.ts';

/** Far more than any option file needs; keeps a capture named by mistake from being read whole. */
const TEXT_BYTES_MAX = 1_048_576;

/** Throws USAGE: an option file that cannot be read is a fault of the command line. */
export function readTextFile(path: string): string {
  try {
    const size = statSync(path).size;
    if (size > TEXT_BYTES_MAX) throw usage(`${path} has ${size} bytes: an option file has at most ${TEXT_BYTES_MAX}`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw new OperatorError('USAGE', `${path} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

export function writeTextFile(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new OperatorError('FILE', `${path} cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
