/**
 * `npm run golden`: runs the golden replay cases; with `-- --update` writes their results anew. Review the diff then.
 */
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { root, setup } from './setup.mjs';

setup('test');
const env = { ...process.env, ...(process.argv.includes('--update') ? { UPDATE_GOLDEN: '1' } : {}) };
const run = spawnSync(process.execPath, ['dist/test/replay/golden.test.js'], { cwd: root, stdio: 'inherit', env });
process.exitCode = run.status ?? 1;
