/** What a probe's sightings mean, case by case; what both ends tell each other about it, well-formed and not. */
import assert from 'node:assert/strict';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import { checkLine, pictureLines, verdictOf } from '../../src/cli/doctor_text.ts';
import type { AgentTarget } from '../../src/copy/agent/spec.ts';
import { type Check, check } from '../../src/copy/doctor/check.ts';
import type { ProbeContext } from '../../src/copy/doctor/context.ts';
import { ProbeDesk } from '../../src/copy/doctor/desk.ts';
import { diagnose } from '../../src/copy/doctor/diagnose.ts';
import { farChecks, tunnelChecks } from '../../src/copy/doctor/far_checks.ts';
import type { ProbeEvidence } from '../../src/copy/doctor/probe.ts';
import type { InterceptSpec } from '../../src/copy/intercept/spec.ts';
import type { AgentLink } from '../../src/copy/tunnel/agent_link.ts';
import { type ProbeReport, readProbeReport, readProbeRequest, type Sighting } from '../../src/copy/tunnel/probe.ts';
import { Frame } from '../../src/copy/tunnel/protocol.ts';

const TARGET: AgentTarget = {
  address: [0x0a5c0009],
  port: 80,
  mtu: 1500,
  host: '10.92.0.9',
  device: 'eth1',
  sender: 'af_packet',
  macs: new Uint8Array(12),
};
const SERVICE = '10.92.0.9:80';

function seen(text: string): Sighting {
  const [name, way, kind] = text.split(' ') as [string, Sighting['way'], Sighting['kind']];
  return { interface: name, way, kind, service: SERVICE, count: 1 };
}

/** `here` and `there`: `eth0 in SYN`. */
function evidence(here: string[], there: string[], more: Partial<ProbeEvidence> = {}): ProbeEvidence {
  return {
    target: TARGET,
    service: SERVICE,
    from: '192.0.2.7',
    isSpare: true,
    sent: 1,
    refusal: null,
    answer: null,
    here: here.map(seen),
    there: there.map(seen),
    ...more,
  };
}

const ETH0 = { name: 'eth0', mtu: 1500, rpFilter: 0, forwards4: 0, forwards6: 0, addresses: ['10.92.0.9'] };

function report(more: Partial<ProbeReport> = {}): ProbeReport {
  return {
    fault: null,
    mode: 'host',
    interface: 'tsintercept0',
    services: ['80'],
    except: [],
    replyRoutes: [],
    facts: { interfaces: [ETH0], reversePathDrops: 5, listenDrops: 5 },
    sightings: [],
    ...more,
  };
}

function context(more: Partial<ProbeContext> = {}): ProbeContext {
  return {
    mode: 'host',
    before: report(),
    after: report(),
    hereFault: null,
    interception: 'tsintercept at 10.92.0.9:36524',
    gateway: '10.93.0.30',
    ...more,
  };
}

const ANSWER = { kind: 'SYN-ACK', afterMs: 1, mss: 1460 } as const;
const ASSISTANT = context({ mode: 'assistant', after: report({ mode: 'assistant', interface: 'eth0' }) });
const LOCAL = context({ mode: 'local', before: null, after: null, interception: 'this host', gateway: '10.92.0.1' });
const SWALLOWED = ['eth0 in SYN', 'tsintercept0 out SYN-ACK'];

/** Evidence, then the statuses of left, reached, answered, swallowed, clients by their first letters. */
const CASES: readonly (readonly [name: string, ProbeEvidence, ProbeContext, statuses: string, text: RegExp])[] = [
  ['all is right', evidence([], SWALLOWED, { answer: ANSWER }), context(), 'ooooo', /nothing left towards clients/],
  ['it was swallowed, and not handed over', evidence([], SWALLOWED), context(), 'ooobo', /did not hand it over/],
  [
    'a reply is seen on a wire here, though the target swallows',
    evidence(['eth1 in SYN-ACK'], SWALLOWED, { answer: ANSWER }),
    context(),
    'oooob',
    /LEAK: a SYN-ACK to 192\.0\.2\.7 of 10\.92\.0\.9 went by eth1/,
  ],
  [
    'a service whose queue is full',
    evidence([], ['eth0 in SYN']),
    context({ after: report({ facts: { ...report().facts, listenDrops: 6 } }) }),
    'oobuu',
    /takes no more connections/,
  ],
  [
    'the target routes its replies past the interception',
    evidence([], ['eth0 in SYN']),
    context({ after: report({ replyRoutes: [{ service: '80', device: 'eth0' }] }) }),
    'oobuu',
    /routes replies of 80 to eth0, not into tsintercept0/,
  ],
  ['the SYN is lost', evidence([], []), context(), 'obuuu', /did not reach 10\.92\.0\.9: .*anti-spoofing/],
  [
    'tsintercept on another host than the target',
    evidence([], []),
    context({ after: report({ facts: { ...report().facts, interfaces: [{ ...ETH0, addresses: ['10.92.0.8'] }] } }) }),
    'ouubu',
    /tsintercept is not on 10\.92\.0\.9.*it could not be seen how far the SYN got/s,
  ],
  [
    'the far end could not look',
    evidence([], [], { answer: ANSWER }),
    context({ after: report({ fault: 'no libpcap' }) }),
    'oooou',
    /not observable from here: no libpcap/,
  ],
  [
    'assistant: it forwards',
    evidence([], ['eth0 in SYN-ACK', 'eth1 out SYN-ACK'], { answer: ANSWER }),
    ASSISTANT,
    'oooob',
    /left the assistant by eth1.*on the assistant: sysctl -w net\.ipv4\.ip_forward=0/,
  ],
  [
    'assistant: a switch shows the reply here on its right way',
    evidence(['eth1 passing SYN-ACK'], ['eth0 in SYN-ACK'], { answer: ANSWER }),
    ASSISTANT,
    'ooooo',
    /nothing left/,
  ],
  [
    'assistant: the reply goes by, to a router',
    evidence(['eth1 passing SYN-ACK'], []),
    ASSISTANT,
    'ooobb',
    /take another way: on 10\.92\.0\.9: ip route replace default via 10\.93\.0\.30/,
  ],
  [
    'assistant: it comes in by another interface',
    evidence([], ['eth3 in SYN-ACK']),
    ASSISTANT,
    'ooobo',
    /by eth3 and was not handed over: there: tsintercept -i eth3/,
  ],
  ['assistant: silence', evidence([], []), ASSISTANT, 'ouubu', /ip route add default via 10\.93\.0\.30, or only/],
  [
    'local: replies by another interface than copies',
    evidence(['eth2 in SYN-ACK'], [], { answer: ANSWER }),
    LOCAL,
    'ooobo',
    /replies come in by eth2, and copies leave by eth1/,
  ],
  [
    'local: it is forwarded',
    evidence(['eth1 in SYN-ACK', 'eth0 out SYN-ACK'], [], { answer: ANSWER }),
    LOCAL,
    'oooob',
    /left this host by eth0/,
  ],
  [
    'local: this host cannot look',
    evidence([], []),
    { ...LOCAL, hereFault: 'no memory' },
    'ouubu',
    /this host cannot look for replies: no memory/,
  ],
];

t.test('sightings and what they mean', (t) => {
  for (const [name, given, where, statuses, text] of CASES) {
    const checks = diagnose(given, where);
    t.equal(checks.map(({ status }) => status[0]).join(''), statuses, name);
    t.match(checks.map(({ text: said, remedy }) => `${said}: ${remedy}`).join('\n'), text, name);
  }
  const refused = diagnose(evidence([], [], { refusal: 'EPERM', sent: 0 }), context());
  t.match(refused, [{ name: 'left', status: 'broken', remedy: /nft list ruleset/ }]);
  t.equal(refused.length, 1, 'nothing is said of a SYN that never was');
  t.end();
});

t.test('what the far side says of itself', (t) => {
  const far = { where: 'x:1' };
  const of = (offsetMs: number): Check | undefined =>
    tunnelChecks(far, { mode: 'host', services: [] }, { offsetMs, roundTripMs: 1 }).find(
      ({ name }) => name === 'clock',
    );
  t.match(of(900), { status: 'ok' });
  t.match(of(-2500), { status: 'warning', text: /2\.500 s behind/, remedy: /timedatectl/ });
  const spec = { targets: [TARGET] };
  const byName = (given: ProbeReport): Record<string, string> =>
    Object.fromEntries(farChecks(spec, given, 'x:1').map(({ name, status }) => [name, status]));
  t.match(byName(report()), { service: 'ok', rp_filter: 'ok', MTU: 'ok' });
  const odd = { ...ETH0, mtu: 1400, rpFilter: 1 };
  const strange = report({ services: ['81'], facts: { ...report().facts, interfaces: [odd] } });
  t.match(byName(strange), { service: 'warning', rp_filter: 'broken', MTU: 'warning' });
  const tagged = report({ facts: { ...report().facts, interfaces: [{ ...odd, name: 'eth0.100' }] } });
  const remedy = farChecks(spec, tagged, 'x:1').find(({ name }) => name === 'rp_filter')!.remedy;
  t.match(remedy, 'net.ipv4.conf.eth0/100.rp_filter=2', 'a name with a dot is written as sysctl takes it');
  const elsewhere = report({ facts: { ...report().facts, interfaces: [{ ...ETH0, addresses: ['10.92.0.8'] }] } });
  t.match(byName(elsewhere), { address: 'warning' });
  t.end();
});

t.test('what is printed', (t) => {
  const checks = [
    check('this host', 'route', 'ok', 'by eth1'),
    check('tunnel', 'clock', 'warning', 'odd', { remedy: 'set it' }),
    check('probe', 'left', 'ok', 'gone', { target: SERVICE }),
    check('probe', 'answered', 'broken', 'no', { target: SERVICE, remedy: 'x' }),
    check('probe', 'clients', 'broken', 'LEAK', { target: SERVICE, remedy: 'y', isLeak: true }),
  ];
  t.equal(checkLine(checks[1]!, true), 'warning tunnel    clock        odd: set it');
  t.equal(checkLine(checks[3]!, true), 'BROKEN  probe     answered     10.92.0.9:80: no: x');
  t.match(pictureLines(SERVICE, 'x', checks), [/X tsintercept/, /ok +BROKEN +warning$/, /LEAK--> clients/]);
  t.match(verdictOf(checks), { status: 'broken', text: /^replies leak .*: LEAK: y$/ });
  t.match(verdictOf(checks.slice(0, 3)), { status: 'warning', text: /are swallowed \(1 warning\)/, hop: null });
  t.end();
});

t.test('requests and reports out of hostile bytes', (t) => {
  const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const request = { port: 40_000, addresses: ['192.0.2.7', '2001:db8::7'] };
  t.same(readProbeRequest(bytes(request)), request);
  for (const bad of [
    null,
    [],
    { ...request, port: 0 },
    { ...request, port: '40000' },
    { ...request, addresses: [] },
    { ...request, addresses: [7] },
    { ...request, addresses: ['a', 'b', 'c'] },
  ]) {
    assert.equal(readProbeRequest(bytes(bad)), null, JSON.stringify(bad));
  }
  const whole = report({ sightings: [seen('eth0 in SYN')], replyRoutes: [{ service: '80', device: 'eth0' }] });
  t.same(readProbeReport(bytes(whole)), whole);
  for (const key of Object.keys(whole)) {
    assert.equal(readProbeReport(bytes({ ...whole, [key]: undefined })), null, `without ${key}`);
    assert.equal(readProbeReport(bytes({ ...whole, [key]: 7 })), null, `${key} is a number`);
  }
  const sent: [number, Buffer][] = [];
  const link = { id: 1, send: (type: number, payload: Buffer) => void sent.push([type, payload]) };
  const spec = { mode: 'assistant', services: [], except: [] } as unknown as InterceptSpec;
  const desk = new ProbeDesk(spec, 'eth0');
  t.notOk(desk.take(link as unknown as AgentLink, Frame.Probe, Buffer.from('{')), 'ends the connection');
  t.notOk(desk.take(link as unknown as AgentLink, Frame.Probe, bytes({ ...request, addresses: ['x or 1'] })));
  t.ok(desk.take(link as unknown as AgentLink, Frame.ProbeEnd, Buffer.alloc(0)));
  t.equal(sent[0]![0], Frame.ProbeSeen);
  t.match(readProbeReport(sent[0]![1]), { fault: 'no probe is under way', sightings: [] });
  desk.close();
  const seed = 20;
  const rng = new Rng(seed);
  for (let i = 0; i < 2_000; i++) {
    const mutant = bytes(i % 2 === 0 ? whole : request);
    mutant[rng.below(mutant.length)] = rng.below(256);
    readProbeReport(mutant);
    readProbeRequest(mutant);
  }
  t.ok(true, `2,000 mutants of seed ${seed}`);
  t.end();
});
