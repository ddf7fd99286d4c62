/**
 * Brings a fresh clone to where a command can run: npm packages, the build, tap's plug-in build, Debian packages and
 * the optional native packages. Dependency-free, quick when nothing is to do, callable any number of times.
 *
 *   node scripts/setup.mjs [test|demo|fixtures|build]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

const SBIN = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
/** PATH with the system directories that a non-root shell leaves out. */
export const pathWithSbin = [...new Set([...(process.env.PATH ?? '').split(':').filter(Boolean), ...SBIN])].join(':');

/** Program or library -> the Debian package that brings it. */
const NEEDS = {
  demo: { ip: 'iproute2', 'libpcap.so.0.8': 'libpcap0.8', tcpdump: 'tcpdump' },
  test: {
    ip: 'iproute2',
    'libpcap.so.0.8': 'libpcap0.8',
    tcpdump: 'tcpdump',
    tcpreplay: 'tcpreplay',
    capinfos: 'wireshark-common',
    ethtool: 'ethtool',
    nft: 'nftables',
    ping: 'iputils-ping',
    nginx: 'nginx-light',
    wrk: 'wrk',
    curl: 'curl',
    'redis-server': 'redis-server',
    'redis-cli': 'redis-tools',
    dnsmasq: 'dnsmasq-base',
    dig: 'bind9-dnsutils',
    openssl: 'openssl',
    gzip: 'gzip',
    zstd: 'zstd',
    'g++': 'g++',
    make: 'make',
    python3: 'python3',
    'pcap/pcap.h': 'libpcap-dev',
  },
};
NEEDS.fixtures = NEEDS.test;
/** Only the packages and the compiled code. */
NEEDS.build = {};

/** Native packages that are tested when they can be built; nothing needs them. */
const OPTIONAL_NATIVE = [
  { name: 'cap', binary: 'build/Release/cap.node', wants: ['g++', 'make', 'python3', 'pcap/pcap.h'] },
  { name: 'raw-socket', binary: 'build/Release/raw.node', wants: ['g++', 'make', 'python3'] },
];
const OPTIONAL_BUILD_MS_MAX = 240_000;

const say = (text) => process.stderr.write(`setup: ${text}\n`);

export function hasProgram(name) {
  return pathWithSbin.split(':').some((dir) => fs.existsSync(path.join(dir, name)));
}

function hasLibrary(name) {
  const roots = ['/lib', '/usr/lib', '/lib64', '/usr/lib64'];
  const dirs = roots.flatMap((dir) => [dir, path.join(dir, `${machineTriplet()}`)]);
  return dirs.some((dir) => fs.existsSync(path.join(dir, name)));
}

function machineTriplet() {
  return process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
}

function has(need) {
  if (need.includes('.so')) return hasLibrary(need);
  if (need.endsWith('.h')) return fs.existsSync(path.join('/usr/include', need));
  return hasProgram(need);
}

function run(command, args, options = {}) {
  const { quiet, ...rest } = options;
  return spawnSync(command, args, {
    cwd: root,
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 2, 2],
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    ...rest,
    env: { ...process.env, PATH: pathWithSbin, ...rest.env },
  });
}

function npm(args, options) {
  const script = process.env.npm_execpath;
  return script?.endsWith('.js') ? run(process.execPath, [script, ...args], options) : run('npm', args, options);
}

const sha = (text) => createHash('sha256').update(text).digest('hex');
const readJson = (file) => {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
};

/** What npm installed (it keeps its own record) against what the lock file asks for. */
export function packagesAreFresh() {
  const wanted = readJson(path.join(root, 'package-lock.json'))?.packages ?? {};
  const present = readJson(path.join(root, 'node_modules/.package-lock.json'))?.packages;
  if (!present) return false;
  return Object.entries(wanted).every(([place, entry]) => {
    if (place === '') return true;
    const there = present[place];
    return there ? there.version === entry.version : entry.optional === true;
  });
}

function installNpmPackages() {
  if (packagesAreFresh()) return;
  say('npm ci');
  const result = npm(['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']);
  if (result.status === 0) return;
  throw new Error('npm ci failed: see its message above, then run it by hand in this folder');
}

function* filesUnder(dir, wanted) {
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const full = path.join(dir, entry.name);
    if (entry.isDirectory()) yield* filesUnder(full, wanted);
    else if (wanted(entry.name)) yield full;
  }
}

const BUILD_ROOTS = ['src', 'test', 'lab', 'bench'].map((name) => path.join(root, name));

function sourceFingerprint() {
  const lines = [];
  for (const dir of BUILD_ROOTS.filter((name) => fs.existsSync(name))) {
    for (const file of filesUnder(dir, (name) => name.endsWith('.ts'))) {
      const stat = fs.statSync(file);
      lines.push(`${path.relative(root, file)} ${stat.size} ${stat.mtimeMs}`);
    }
  }
  for (const name of ['tsconfig.json', 'package-lock.json', 'scripts/bundle.mjs'])
    lines.push(fs.readFileSync(path.join(root, name), 'utf8'));
  return sha(lines.sort().join('\n'));
}

/** A compiled test whose source is gone must not run. */
function removeOrphans() {
  for (const dir of BUILD_ROOTS) {
    const built = path.join(root, 'dist', path.relative(root, dir));
    if (!fs.existsSync(built)) continue;
    for (const file of filesUnder(built, (name) => /\.(js|d\.ts)$/.test(name))) {
      const source = path.join(root, path.relative(path.join(root, 'dist'), file).replace(/\.(js|d\.ts)$/, '.ts'));
      if (!fs.existsSync(source)) fs.rmSync(file);
    }
  }
}

/** Returns the compiler's message, or '' when everything has its types. The code is emitted in both cases. */
function build() {
  const stamp = path.join(root, 'dist/.built');
  const fingerprint = sourceFingerprint();
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === fingerprint) return '';
  say('tsc -p .');
  const result = run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'], { quiet: true });
  removeOrphans();
  const bundles = run(process.execPath, ['scripts/bundle.mjs'], { quiet: true });
  if (bundles.status !== 0) throw new Error(`scripts/bundle.mjs failed: ${(bundles.stderr ?? '').trim()}`);
  if (result.status === 0) {
    fs.mkdirSync(path.dirname(stamp), { recursive: true });
    fs.writeFileSync(stamp, fingerprint);
    return '';
  }
  fs.rmSync(stamp, { force: true });
  return `${result.stdout ?? ''}${result.stderr ?? ''}`.trim() || `tsc ended with status ${result.status}`;
}

const memoryFile = path.join(root, 'node_modules/.tsreplay-setup.json');
const recall = () => readJson(memoryFile) ?? {};
const remember = (change) => fs.writeFileSync(memoryFile, JSON.stringify({ ...recall(), ...change }));

/** tap compiles its own test class for the plug-ins named in .taprc; the compiled class lives in node_modules. */
function buildTap() {
  const wanted = sha(fs.readFileSync(path.join(root, '.taprc'), 'utf8') + root);
  if (recall().tap === wanted && fs.existsSync(path.join(root, '.tap/plugins'))) return;
  say('tap build');
  const result = run(process.execPath, ['node_modules/.bin/tap', 'build'], { quiet: true });
  if (result.status !== 0) throw new Error(`tap build failed: ${(result.stderr || result.stdout || '').trim()}`);
  remember({ tap: wanted });
}

/** Runs `body` while package installation may not start services (a policy-rc.d that refuses), then restores. */
function withoutServices(body) {
  const policy = '/usr/sbin/policy-rc.d';
  if (fs.existsSync(policy)) return body();
  const hold = () => {};
  process.on('SIGINT', hold);
  process.on('SIGTERM', hold);
  try {
    fs.writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    return body();
  } finally {
    fs.rmSync(policy, { force: true });
    process.off('SIGINT', hold);
    process.off('SIGTERM', hold);
  }
}

function aptInstall(packages) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => run('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=180', ...args], { quiet: true, env });
  say(`apt-get install ${packages.join(' ')}`);
  apt('update');
  return withoutServices(() => apt('install', '-y', '--no-install-recommends', ...packages));
}

/** Debian packages of programs that are missing. Returns a sentence for the operator, or ''. */
function installDebianPackages(purpose) {
  const missing = () => Object.keys(NEEDS[purpose]).filter((need) => !has(need));
  const before = missing();
  if (before.length === 0) return '';
  const packages = [...new Set(before.map((need) => NEEDS[purpose][need]))];
  const advice = `install what is missing: apt-get install ${packages.join(' ')}`;
  if (process.platform !== 'linux') return `this needs Linux: without ${before.join(', ')} some parts are skipped`;
  if (!hasProgram('apt-get'))
    return `${advice} (or what your distribution calls them); without them some parts are skipped`;
  if (process.getuid?.() !== 0) return `as root, ${advice}; without them some parts are skipped`;
  const result = aptInstall(packages);
  const after = missing();
  if (after.length === 0) return '';
  const why = (result.stderr ?? '').trim().split('\n').at(-1) ?? '';
  return `apt-get left ${after.join(', ')} missing (${why}); what needs them is skipped`;
}

/** Headers beside this Node save node-gyp a download. */
function nodeHeaders() {
  const dir = path.resolve(path.dirname(fs.realpathSync(process.execPath)), '..');
  return fs.existsSync(path.join(dir, 'include/node/node.h')) ? { npm_config_nodedir: dir } : {};
}

/** npm leaves an optional package out whose install script failed, for instance before a compiler was there. */
function fetchOptional(options) {
  npm(['install', '--no-save', '--include=dev', '--include=optional', '--no-audit', '--no-fund'], options);
}

/** Package managers may block install scripts, so an optional native package is built here, by name. */
function buildNative(name, dir, binary) {
  const options = { quiet: true, timeout: OPTIONAL_BUILD_MS_MAX, env: nodeHeaders() };
  const built = () => fs.existsSync(path.join(dir, binary));
  say(`npm rebuild ${name}`);
  if (!fs.existsSync(dir)) fetchOptional(options);
  if (!built()) npm(['rebuild', name, '--ignore-scripts=false', '--foreground-scripts'], options);
  const gyp = 'node_modules/.bin/node-gyp';
  if (!built() && fs.existsSync(dir) && fs.existsSync(path.join(root, gyp))) {
    run(process.execPath, [path.join(root, gyp), 'rebuild', '-C', dir], options);
  }
  return built();
}

/** Returns a sentence for each optional native package that is not there. */
function buildOptionalNative() {
  const notes = [];
  for (const { name, binary, wants } of OPTIONAL_NATIVE) {
    const dir = path.join(root, 'node_modules', name);
    if (fs.existsSync(path.join(dir, binary))) continue;
    const missing = wants.filter((need) => !has(need));
    const key = `native:${name}:${process.version}`;
    if (missing.length > 0) {
      notes.push(`the optional package ${name} is not built (${missing.join(', ')} missing): its tests are skipped`);
      continue;
    }
    if (recall()[key] !== 'failed') {
      if (buildNative(name, dir, binary)) continue;
      remember({ [key]: 'failed' });
    }
    notes.push(`the optional package ${name} does not build here: its tests are skipped`);
  }
  return notes;
}

/**
 * @param {'test'|'demo'|'fixtures'|'build'} purpose
 * @returns {{ notes: string[], typeErrors: string }} sentences for the operator; what the compiler said, or ''
 * @throws Error with a sentence, when the command cannot run at all
 */
export function setup(purpose) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    throw new Error(`Node ${process.versions.node} is too old: 20.19 or newer`);
  const notes = [];
  const debian = installDebianPackages(purpose);
  if (debian) notes.push(debian);
  installNpmPackages();
  const typeErrors = build();
  if (purpose === 'test') {
    notes.push(...buildOptionalNative());
    buildTap();
  }
  for (const note of notes) say(note);
  return { notes, typeErrors };
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const purpose = process.argv[2] ?? 'demo';
  if (!Object.hasOwn(NEEDS, purpose)) {
    say(`unknown purpose "${purpose}": one of ${Object.keys(NEEDS).join(', ')}`);
    process.exit(2);
  }
  try {
    const { typeErrors } = setup(purpose);
    if (typeErrors) say(typeErrors);
    process.exitCode = typeErrors ? 1 : 0;
  } catch (error) {
    say(error.message);
    process.exitCode = 1;
  }
}
