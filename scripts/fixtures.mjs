/**
 * `npm run fixtures [-- case …]`: makes the captures of `fixtures/pcaps` anew, from real programs in network
 * namespaces. Needs root. The captures are committed: run this only to add or change a case.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { root, setup } from './setup.mjs';

const BYTES_MAX = 150_000;

async function main() {
  const { typeErrors } = setup('fixtures');
  if (typeErrors) process.stderr.write(`fixtures: the build has type errors (npm run build); going on\n`);
  const load = (name) => import(path.join(root, 'dist/lab', name));
  const { labUnavailable } = await load('availability.js');
  const reason = labUnavailable('tcpdump', 'ethtool', 'nft', 'nginx', 'curl', 'dnsmasq', 'dig', 'redis-server');
  if (reason) throw new Error(`cannot make fixtures: ${reason}`);
  const { makeFixture } = await load('fixture.js');
  const { APPLICATION_CASES } = await load('fixture_cases.js');
  const { LINK_CASES } = await load('fixture_link_cases.js');
  const wanted = process.argv.slice(2);
  for (const fixture of [...APPLICATION_CASES, ...LINK_CASES]) {
    if (wanted.length > 0 && !wanted.includes(fixture.name)) continue;
    const { packets, bytes } = await makeFixture(fixture, path.join(root, 'fixtures/pcaps'));
    process.stdout.write(`${fixture.name}: ${packets} packets, ${bytes} bytes\n`);
    if (bytes > BYTES_MAX) throw new Error(`${fixture.name} is larger than ${BYTES_MAX} bytes: shorten it`);
  }
  const format = ['node_modules/@biomejs/biome/bin/biome', 'format', '--write', 'fixtures'];
  spawnSync(process.execPath, format, { cwd: root, stdio: 'inherit' });
}

main().catch((error) => {
  process.stderr.write(`fixtures: ${error.message}\n`);
  process.exitCode = 1;
});
