/** The error that a broken device leaves in `Sink.fault`. */
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from '../sys/errno.ts';

export function deviceFault(name: string, errno: number): OperatorError {
  if (errno === Errno.ENETDOWN) {
    return new OperatorError('INTERFACE', `${name} went down during the run: ip link set ${name} up, then run again`);
  }
  if (errno === Errno.ENODEV || errno === Errno.ENXIO) {
    return new OperatorError('INTERFACE', `${name} was removed during the run: create it again, then run again`);
  }
  return new OperatorError('INTERFACE', `${name} broke during the run: ${describeErrno(errno)}`);
}
