/** Pages that need nothing from the network: data, script and style stand in them. Light or dark. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** `</script>` and `<!--` inside a script element would end it; U+2028 and U+2029 end lines in old parsers. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
}

export interface Page {
  readonly title: string;
  /** HTML. */
  readonly body: string;
  /** Handed to the script as `data`. */
  readonly data: unknown;
  /** Plain browser script; it has `data` and `chart(id, options, series)`. */
  readonly script: string;
}

export function htmlPage({ title, body, data, script }: Page): string {
  const dist = dirname(createRequire(import.meta.url).resolve('uplot'));
  const uplot = readFileSync(join(dist, 'uPlot.iife.min.js'), 'utf8').replaceAll('</script', '<\\/script');
  const style = readFileSync(join(dist, 'uPlot.min.css'), 'utf8');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${style}
${STYLE}</style>
</head>
<body>
${body}
<script type="application/json" id="data">${scriptJson(data)}</script>
<script>${uplot}</script>
<script>${CHARTS}${script}</script>
</body>
</html>
`;
}

const STYLE = `:root { --ink: #1f2328; --soft: #59636e; --paper: #ffffff; --panel: #f4f6f8; --line: #d5dbe1;
  --good: #e6f4ea; --bad: #fdecea; --alarm: #b3261e; --a: #1f6feb; --b: #d4690a; --c: #8250df; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #a2abb5; --paper: #15181d; --panel: #1f242b;
  --line: #363d46; --good: #16301f; --bad: #3a1c1b; --alarm: #ff8a80; --a: #6cb0ff; --b: #ffad57; --c: #c7a5ff; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 2em auto; padding: 0 1.2em;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.6em; margin: 0 0 .6em; } h2 { font-size: 1.2em; margin: 1.8em 0 .5em; } a { color: var(--a); }
p.note { color: var(--soft); margin: .3em 0 .8em; }
pre { overflow-x: auto; padding: .8em 1em; background: var(--panel); border-radius: 6px; font-size: 13px; }
.ready { background: var(--good); } .unready { background: var(--bad); }
.fault { color: var(--alarm); font-weight: 600; }
.tiles { display: flex; flex-wrap: wrap; gap: .8em; margin: 1em 0; }
.tile { background: var(--panel); border-radius: 6px; padding: .6em 1em; min-width: 9em; }
.tile b { display: block; font-size: 1.5em; font-weight: 600; } .tile span { color: var(--soft); font-size: .87em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .55em; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td.same { background: var(--good); } td.other { background: var(--bad); }
.chart { margin: 1.4em 0; min-height: 300px; } .chart h3 { font-size: 1em; margin: 0 0 .2em; }
.u-legend { text-align: left; font-size: 13px; } .u-legend th, .u-legend td { border: 0; }`;

/** `chart` draws into the element of an id, and again when light turns dark or the window's width changes. */
const CHARTS = `
const data = JSON.parse(document.getElementById('data').textContent);
const drawn = [];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLORS = { a: '--a', b: '--b', c: '--c', bad: '--alarm' };
const short = (v) => v === null ? '' : Math.abs(v) >= 1e6 ? +(v / 1e6).toPrecision(4) + ' M'
  : Math.abs(v) >= 1e4 ? +(v / 1e3).toPrecision(4) + ' k' : String(+v.toPrecision(6));
function axis(more) {
  return { stroke: css('--soft'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line'), width: 1 },
    ...more };
}
// series: { label, color, values, fill, dash, stepped }
// options: { title, x, xName, xLabel, y: format, log, names: of bars, in the place of x, step: width of the last slot }
function chart(id, options, series) {
  const element = document.getElementById(id);
  if (element === null) return;
  const format = options.y ?? short;
  const { names } = options;
  const draw = () => {
    element.textContent = '';
    const title = document.createElement('h3');
    title.textContent = options.title;
    element.append(title);
    const scales = { x: { time: false, ...(names ? { range: [-0.6, names.length - 0.4] } : {}) },
      y: options.log ? { distr: 3 } : { range: (u, min, max) => [Math.min(0, min), max > 0 ? max * 1.08 : 1] } };
    const n = series.length;
    const lines = series.map((one, k) => ({ label: one.label, stroke: css(COLORS[one.color]), width: names ? 1 : 1.75,
      dash: one.dash, spanGaps: true, points: { show: !names && options.x.length < 3 },
      fill: names ? css(COLORS[one.color]) + 'b0' : one.fill ? css(COLORS[one.color]) + '26' : undefined,
      value: (u, v) => v === null ? '–' : format(v),
      paths: names ? uPlot.paths.bars({ size: [0.86 / n, 60], align: n === 1 ? 0 : k === 0 ? -1 : 1 })
        : one.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined }));
    const end = options.step && options.x.length > 0 ? [options.x.at(-1) + options.step] : [];
    const xs = names ? names.map((_, k) => k) : [...options.x, ...end];
    const xAxis = names ? axis({ label: options.xLabel, labelSize: 22, splits: (u) => {
        const step = Math.ceil(names.length / Math.max(1, Math.floor(u.width / 90)));
        return xs.filter((k) => k % step === 0);
      }, values: (u, ks) => ks.map((k) => names[k] ?? '') }) : axis({ label: options.xLabel, labelSize: 22 });
    const x = { label: options.xName ?? options.xLabel,
      value: (u, v) => v === null ? '–' : names ? names[v] : short(v) };
    new uPlot({ width: element.clientWidth, height: 260, scales, series: [x, ...lines],
      axes: [xAxis, axis({ size: 84, values: (u, vs) => vs.map((v) => v === null ? '' : format(v)) })] },
      [xs, ...series.map((one) => [...one.values, ...end.map(() => one.stepped ? one.values.at(-1) : null)])],
      element);
  };
  drawn.push(draw);
  draw();
}
const again = () => drawn.forEach((draw) => draw());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
let width = innerWidth;
addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; again(); } });
`;
