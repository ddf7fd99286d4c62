/** `tscopy --report`: how the test server's replies differ from production's, as one page with charts. */
import { formatNs, groupDigits } from '../base/units.ts';
import type { CompareReport, DifferenceKind, DifferingExchange, DifferingReply } from '../copy/agent/index.ts';
import { ratio, share, statusText } from './compare_text.ts';
import { escapeHtml, htmlPage } from './html_page.ts';
import { writeReportFile } from './report_file.ts';

/** Throws what `node:fs` throws. */
export function writeComparePage(file: string, report: CompareReport): void {
  writeReportFile(file, comparePage(report, new Date()));
}

const n = groupDigits;
const CHARTS = ['latency', 'rate', 'first', 'last', 'bytes'] as const;

export function comparePage(report: CompareReport, at: Date): string {
  const seconds = report.course.seconds.length * report.course.slotSeconds;
  const body = `<h1>Production and test server: replies compared</h1>
<p class="note">tscopy, ${escapeHtml(at.toISOString())}, ${seconds} s. An exchange is compared once its client has gone
on or its session has ended. Times count from a request's last byte: of production where the agent captured it, of the
test server where the agent sent it, way and back included.</p>
${tiles(report)}
<h2>Times and lengths</h2>
${timesTable(report)}
${CHARTS.map((id) => `<div class="chart" id="${id}"></div>`).join('\n')}
<h2>Status</h2>
${statusTable(report)}
<h2>Requests that differ</h2>
${exchangesTable(report)}`;
  return htmlPage({ title: 'tscopy: replies compared', body, data: report, script: DRAW });
}

function tiles(report: CompareReport): string {
  const { compared, http, same, statusEqual, bytesEqual } = report;
  const rows: [string, string][] = [
    [n(compared), 'replies compared'],
    [share(same, compared), 'alike: status and length'],
    [http === 0 ? '-' : share(statusEqual, http), 'equal status'],
    [share(bytesEqual, compared), 'equal length'],
    [n(report.missingTarget), 'missing at the test server'],
    [n(report.missingProduction), 'missing at production'],
  ];
  const others: [number, string][] = [
    [report.unanswered, 'answered by neither'],
    [report.unfinished, 'under way at the end'],
    [report.early, 'not told apart: sent before the reply to the one before'],
    [report.noRoom, 'not compared: no room'],
  ];
  for (const [count, name] of others) if (count > 0) rows.push([n(count), name]);
  return `<div class="tiles">${rows
    .map(([value, name]) => `<div class="tile"><b>${escapeHtml(value)}</b><span>${escapeHtml(name)}</span></div>`)
    .join('')}</div>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]): string =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  const lines = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n');
  return `<div class="scroll"><table><thead><tr>${cells('th', head)}</tr></thead>
<tbody>${lines}</tbody></table></div>`;
}

function timesTable({ production, target }: CompareReport): string {
  const rows: string[][] = [];
  for (const [name, key] of [
    ['first byte', 'firstByteNs'],
    ['last byte', 'lastByteNs'],
  ] as const) {
    for (const quantile of ['p50', 'p90', 'p99', 'max'] as const) {
      const [a, b] = [production[key][quantile], target[key][quantile]];
      rows.push([`${name} ${quantile}`, formatNs(a), formatNs(b), ratio(b, a)]);
    }
  }
  rows.push(['bytes', n(production.bytes), n(target.bytes), ratio(target.bytes, production.bytes)]);
  return table(['', 'production', 'test server', 'ratio'], rows);
}

/** Production's statuses down, the test server's across. */
function statusTable({ http, statuses }: CompareReport): string {
  if (http === 0) return '<p class="note">No reply had an HTTP status line.</p>';
  const sorted = (values: number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
  const down = sorted(statuses.map(({ production }) => production));
  const across = sorted(statuses.map(({ target }) => target));
  const rows = down.map((production) => {
    const cells = across.map((target) => {
      const count = statuses.find((pair) => pair.production === production && pair.target === target)?.count ?? 0;
      if (count === 0) return '<td></td>';
      return `<td class="${production === target ? 'same' : 'other'}">${n(count)}</td>`;
    });
    return `<tr><th>${statusText(production)}</th>${cells.join('')}</tr>`;
  });
  const head = across.map((target) => `<th>${statusText(target)}</th>`).join('');
  return `<p class="note">Production's status down, the test server's across.</p>
<div class="scroll"><table id="statuses"><thead><tr><th></th>${head}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`;
}

const KIND_TEXT: Readonly<Record<DifferenceKind, string>> = {
  status: 'other status',
  missingTarget: 'no reply of the test server',
  missingProduction: 'no reply of production',
  bytes: 'other length',
};

function exchangesTable({ differing, exchanges }: CompareReport): string {
  const total = Object.values(differing).reduce((sum, count) => sum + count, 0);
  if (total === 0) return '<p class="note">None.</p>';
  const counted = Object.entries(differing)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${n(count)} ${KIND_TEXT[kind as DifferenceKind]}`)
    .join(', ');
  const kept = exchanges.length < total ? ` Below, ${n(exchanges.length)} of them, chosen at random.` : '';
  const head = ['client', 'request', 'after', 'target', 'difference', 'status', 'bytes', 'first byte', 'last byte'];
  return `<p class="note">${counted}.${kept} Production's value first.</p>
${table(head, [...exchanges].sort((a, b) => (a.seconds ?? 0) - (b.seconds ?? 0)).map(exchangeRow))}`;
}

function exchangeRow(exchange: DifferingExchange): string[] {
  const { client, clientPort, kind, production, request, seconds, target, targetReply } = exchange;
  const both = (show: (reply: DifferingReply) => string): string => {
    const [a, b] = [production, targetReply].map((reply) => (reply === null ? '–' : show(reply)));
    return a === b ? a! : `${a} → ${b}`;
  };
  const time = (ns: number | null): string => (ns === null ? '–' : formatNs(ns));
  return [
    `${client.includes(':') ? `[${client}]` : client}:${clientPort}`,
    request === 0 ? 'greeting' : String(request),
    seconds === null ? '–' : `${seconds.toFixed(1)} s`,
    target,
    KIND_TEXT[kind],
    both(({ status }) => statusText(status)),
    both(({ bytes }) => n(bytes)),
    both(({ firstByteNs }) => time(firstByteNs)),
    both(({ lastByteNs }) => time(lastByteNs)),
  ];
}

/** Plain browser script, see `html_page.ts`. */
const DRAW = `
const time = (ns) => ns < 1e3 ? Math.round(ns) + ' ns' : ns < 1e6 ? +(ns / 1e3).toPrecision(3) + ' µs'
  : ns < 1e9 ? +(ns / 1e6).toPrecision(3) + ' ms' : +(ns / 1e9).toPrecision(3) + ' s';
const size = (n) => n < 1024 ? n + ' B' : n < 1048576 ? +(n / 1024).toPrecision(3) + ' KiB'
  : +(n / 1048576).toPrecision(3) + ' MiB';
const { course } = data;
const perSecond = (counts) => counts.map((count) => count / course.slotSeconds);
const x = { x: course.seconds, step: course.slotSeconds, xLabel: 'seconds since the start', xName: 'second' };
chart('latency', { ...x, title: 'Time to the last byte of a reply', y: time, log: true }, [
  { label: 'production p50', color: 'a', values: course.production.p50 },
  { label: 'production p99', color: 'a', values: course.production.p99, dash: [6, 4] },
  { label: 'test server p50', color: 'b', values: course.target.p50 },
  { label: 'test server p99', color: 'b', values: course.target.p99, dash: [6, 4] },
]);
chart('rate', { ...x, title: 'Replies per second' }, [
  { label: 'compared', color: 'a', values: perSecond(course.compared), fill: true, stepped: true },
  { label: 'differing', color: 'b', values: perSecond(course.differing), fill: true, stepped: true },
  { label: 'missing on one side', color: 'bad', values: perSecond(course.missing), stepped: true },
]);
function distribution(id, title, xLabel, of, format) {
  chart(id, { title, names: of.from.map(format), xLabel, xName: 'from' }, [
    { label: 'production', color: 'a', values: of.production },
    { label: 'test server', color: 'b', values: of.target },
  ]);
}
distribution('first', 'Replies by time to the first byte', 'time to the first byte, from', data.firstByteNs, time);
distribution('last', 'Replies by time to the last byte', 'time to the last byte, from', data.lastByteNs, time);
distribution('bytes', 'Replies by length', 'bytes of the reply, from', data.bytes, size);
`;
