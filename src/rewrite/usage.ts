import { OperatorError } from '../base/errors.ts';

/** A value of an option that cannot be used: names the option, the value, and what was expected. */
export function badValue(option: string, value: string, expected: string): OperatorError {
  return new OperatorError('USAGE', `${option}=${value}: expected ${expected}`);
}
