/** Looks along a copy's path before and while it is taken. */
export { brokenHop, type Check, type CheckStatus, hostPortText, sentence, worst } from './check.ts';
export { type Diagnosis, type DoctorOptions, runDoctor } from './doctor.ts';
export { probeAtStart, type StartProbe } from './start.ts';
