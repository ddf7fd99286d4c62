/** A thread that edits windows beside the main one. */
import { parentPort, workerData } from 'node:worker_threads';
import type { HelperResult, HelperStart } from './rewrite_in_place_run.ts';
import { runWindows } from './rewrite_windows.ts';

const { windows, cachefile } = workerData as HelperStart;
const router = cachefile === null ? null : (await import('./rewrite_cache.ts')).readCacheRouter(cachefile);
const { tally, longest, fault } = runWindows(windows, router);
const result: HelperResult = {
  tally,
  longest,
  fault: fault === null ? null : { code: fault.code, message: fault.message },
};
parentPort!.postMessage(result);
