/** libpcap through our bindings: messages with their place, link types, devices. */
import assert from 'node:assert/strict';
import t from 'tap';
import { Errno, errnoName, errnoOfMessage } from '../../src/sys/errno.ts';
import { interfaceCounters } from '../../src/sys/interface.ts';
import { compileFilter, hasLibpcap, libpcapVersion, listDevices, offlineFilter } from '../../src/sys/libpcap.ts';
import { hasCapability } from '../../src/sys/permission.ts';

const skip = hasLibpcap() ? false : 'needs libpcap (apt-get install libpcap0.8)';

t.test('a wrong expression is named with the place', { skip }, (t) => {
  for (const [expression, place] of [
    ['tcp prot 80', 'syntax error at "prot" (character 5)'],
    ['tcp and', 'syntax error at its end'],
    ['tcp port http and (udp', 'syntax error at its end'],
    ['host 1.2.3.4 foo', 'syntax error at "foo" (character 14)'],
    ['ip[3:', 'syntax error at its end'],
    ['tcp[13] = = 2', 'syntax error at "=" (character 11)'],
    ['tcp port 80 )', 'syntax error at ")" (character 13)'],
    ['port 99999999', 'illegal port number'],
    ['ether host zz', 'unknown ether host'],
  ] as const) {
    try {
      compileFilter(expression, 1);
      assert.fail(`${expression} compiled`);
    } catch (error) {
      t.match(error, { name: 'OperatorError', code: 'USAGE' });
      const { message } = error as Error;
      t.ok(message.startsWith(`filter "${expression}": `) && message.includes(place), message);
    }
  }
  t.throws(() => compileFilter('tcp', 147), { code: 'USAGE', message: /not implemented/ });
  t.end();
});

t.test('link types are those of files', { skip }, (t) => {
  const packet = Uint8Array.of(0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2);
  const framed = Uint8Array.of(...new Uint8Array(12), 8, 0, ...packet);
  const program = compileFilter('host 10.0.0.2', 101);
  t.equal(program.length % 8, 0);
  t.equal(offlineFilter(program, packet, 20), true);
  t.equal(offlineFilter(program, framed, 34), false);
  t.equal(offlineFilter(compileFilter('host 10.0.0.2', 1), framed, 34), true);
  t.equal(compileFilter('', 1).length, 8, 'an empty expression accepts everything with one instruction');
  t.end();
});

t.test('devices are listed', { skip: skip || (hasCapability('CAP_NET_RAW') ? false : 'needs root') }, (t) => {
  t.match(libpcapVersion(), /^libpcap version/);
  const devices = listDevices();
  for (const name of interfaceCounters().keys()) {
    if (name === 'lo')
      t.match(
        devices.find((device) => device.name === name),
        { loopback: true },
      );
  }
  t.end();
});

t.test('errno names, both ways', (t) => {
  t.equal(errnoName(Errno.ENETDOWN), 'ENETDOWN');
  t.equal(errnoName(4711), 'errno 4711');
  t.same(errnoOfMessage('Network is down'), { number: Errno.ENETDOWN, name: 'ENETDOWN' });
  t.same(errnoOfMessage('no such sentence'), { number: 0, name: 'no such sentence' });
  t.end();
});
