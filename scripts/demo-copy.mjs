/**
 * The second half of `npm run demo`: real clients talk to a production server, tscopy plays their sessions at a test
 * server as they happen, and the two servers' logs are compared line by line.
 */
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { root } from './setup.mjs';

const PORT = 8080;
const CLIENTS = ['10.91.0.10', '10.91.0.11', '10.91.0.12'];
const PRODUCTION = '10.91.0.1';
const TARGET = '10.92.0.9';
const REQUESTS_EACH = 40;
const SETTLE_MS_MAX = 4000;

const print = (text = '') => process.stdout.write(`${text}\n`);

/** Logs who asked for what, and answers. */
const SERVER = `
const fs = require('node:fs');
require('node:http').createServer((request, response) => {
  const { remoteAddress, remotePort } = request.socket;
  fs.appendFileSync(process.argv[1], remoteAddress + ':' + remotePort + ' ' + request.url + '\\n');
  response.end('hello from ' + process.argv[2]);
}).listen(${PORT}, '0.0.0.0', () => console.log('listening'));`;

/** Requests on one connection from one address, a few milliseconds apart. */
const CLIENT = `
const http = require('node:http');
const [address, count] = process.argv.slice(1);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1, localAddress: address });
let n = 0;
const next = () => {
  if (n === Number(count)) return process.exit(0);
  const options = { host: '${PRODUCTION}', port: ${PORT}, path: '/item/' + n++, agent, localAddress: address };
  http.get(options, (response) => response.resume().on('end', () => setTimeout(next, 5)));
};
next();`;

function hosts(makeLab) {
  const end = (host, iface, v4) => ({ host, iface, v4 });
  const lab = makeLab({
    hosts: ['clients', 'production', 'test'],
    links: [
      { a: end('clients', 'eth0', '10.91.0.10/24'), b: end('production', 'eth0', '10.91.0.1/24') },
      { a: end('production', 'eth1', '10.92.0.1/24'), b: end('test', 'eth0', '10.92.0.9/24') },
    ],
  });
  for (const address of CLIENTS.slice(1)) {
    lab.host('clients').run(['ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
    const { stdout } = lab.host('clients').run(['cat', '/sys/class/net/eth0/address']);
    lab.host('production').run(['ip', 'neigh', 'replace', address, 'lladdr', stdout.trim(), 'dev', 'eth0']);
  }
  lab.host('test').run(['ip', 'route', 'add', 'default', 'via', '10.92.0.1']);
  return lab;
}

async function startServer(lab, name) {
  const log = path.join(lab.directory, `${name}.log`);
  fs.writeFileSync(log, '');
  await lab
    .host(name)
    .spawn([process.execPath, '-e', SERVER, log, name])
    .waitFor(/listening/);
  return log;
}

const linesOf = (log) => fs.readFileSync(log, 'utf8').split('\n').filter(Boolean).sort();

async function settled(logs) {
  for (const end = Date.now() + SETTLE_MS_MAX; Date.now() < end; ) {
    const [production, test] = logs.map(linesOf);
    if (production.length > 0 && production.length === test.length) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function report(production, test) {
  const byClient = (lines, client) => lines.filter((line) => line.startsWith(`${client}:`)).length;
  print('\n  client        asked production    seen by the test server, same address and port');
  for (const client of CLIENTS) {
    const seen = byClient(
      test.filter((line) => production.includes(line)),
      client,
    );
    print(`  ${client.padEnd(12)} ${String(byClient(production, client)).padStart(16)} ${String(seen).padStart(19)}`);
  }
  const same = production.length === test.length && production.every((line, k) => line === test[k]);
  print(`  the two logs are ${same ? 'the same, line by line' : 'DIFFERENT'}`);
  return same;
}

/** True when the test server saw every request of every client. */
export async function runCopyDemo(makeLab) {
  const lab = hosts(makeLab);
  try {
    const logs = [await startServer(lab, 'production'), await startServer(lab, 'test')];
    const cli = path.join(root, 'dist/src/cli/tscopy.js');
    const args = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local', '-i', 'eth0'];
    print(`\nproduction$ tscopy ${args.join(' ')}\n`);
    const agent = lab.host('production').spawn([process.execPath, cli, ...args]);
    await agent.waitFor(/ready/i, 15_000);
    const running = CLIENTS.map((client) =>
      lab.host('clients').spawn([process.execPath, '-e', CLIENT, client, String(REQUESTS_EACH)]),
    );
    await Promise.all(running.map((each) => each.ended));
    await settled(logs);
    agent.child.kill('SIGTERM');
    await agent.ended;
    for (const line of agent.stdout.trim().split('\n')) print(`  ${line}`);
    const [production, test] = logs.map(linesOf);
    return report(production, test);
  } finally {
    await lab.teardown();
  }
}
