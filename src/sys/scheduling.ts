/** The scheduling class of the calling thread (sched(7)). */
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from './errno.ts';
import { declare, lastErrno } from './libc.ts';
import { permissionRemedy } from './permission.ts';

/** include/uapi/linux/sched.h */
const SCHED_RR = 2;
const PRIORITY_LEAST = 1;

const setScheduler = declare('int sched_setscheduler(int pid, int policy, const void *param)');

/**
 * Puts the calling thread before all ordinary ones (SCHED_RR, the least real-time priority): it is woken in time on a
 * busy host. The kernel still leaves 5 % of each second to the others. Throws PERMISSION, UNSUPPORTED.
 */
export function becomeRealtime(): void {
  // struct sched_param: one int. 64 bytes, so that the array lies outside the V8 heap.
  const parameter = new Int32Array(16);
  parameter[0] = PRIORITY_LEAST;
  if (setScheduler(0, SCHED_RR, parameter) === 0) return;
  const errno = lastErrno();
  if (errno === Errno.EPERM) {
    throw new OperatorError('PERMISSION', `--realtime is not permitted: ${permissionRemedy('CAP_SYS_NICE')}`);
  }
  throw new OperatorError('UNSUPPORTED', `this host has no real-time scheduling: ${describeErrno(errno)}`);
}
