/** `--html`: one page with charts that needs nothing from the network: data, script and style stand in it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { InfoReport } from './info_report.ts';
import { factLines, readyLines } from './info_text.ts';

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

export function htmlReport(report: InfoReport): string {
  const dist = join(dirname(createRequire(import.meta.url).resolve('uplot')));
  const script = readFileSync(join(dist, 'uPlot.iife.min.js'), 'utf8').replaceAll('</script', '<\\/script');
  const style = readFileSync(join(dist, 'uPlot.min.css'), 'utf8');
  const sections = report.files.map((file, i) => fileSection(file, i)).join('\n');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>tsinfo: ${escapeHtml(report.files.map((file) => file.path).join(', '))}</title>
<style>${style}
${STYLE}</style>
</head>
<body>
<h1>Captures</h1>
${sections}
<script type="application/json" id="data">${scriptJson(report)}</script>
<script>${script}</script>
<script>${DRAW}</script>
</body>
</html>
`;
}

type FileReport = InfoReport['files'][number];

function fileSection(file: FileReport, i: number): string {
  // The charts below stand in for those made of characters.
  const text = [...factLines(file, { charts: false })].join('\n');
  const ready = [...readyLines(file.path, file.obstacles)].join('\n');
  const fault = file.fault === null ? '' : `<p class="fault">${escapeHtml(file.fault)}</p>`;
  return `<section>
<h2>${escapeHtml(file.path)}</h2>
${fault}
<pre class="${file.ready ? 'ready' : 'unready'}">${escapeHtml(ready)}</pre>
<div class="chart" id="packets-${i}"></div>
<div class="chart" id="bits-${i}"></div>
<div class="chart" id="sizes-${i}"></div>
<pre>${escapeHtml(text)}</pre>
</section>`;
}

const STYLE = `body { font: 15px/1.45 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em;
  color: #1a1a1a; background: #fff; }
pre { overflow-x: auto; padding: .8em 1em; background: #f4f5f7; border-radius: 6px; }
.ready { background: #e8f5e9; } .unready { background: #fdecea; } .fault { color: #b00020; font-weight: 600; }
.chart { margin: 1.2em 0; }`;

/** Plain browser script: reads the data element, draws three charts a capture. */
const DRAW = `
const report = JSON.parse(document.getElementById('data').textContent);
const width = Math.min(960, document.body.clientWidth);
function line(id, title, label, xs, ys, fill) {
  new uPlot({ title, width, height: 240, scales: { x: { time: false } },
    series: [{ label: 'seconds' }, { label, stroke: '#1565c0', fill, width: 1,
      paths: uPlot.paths.stepped({ align: 1 }) }],
    axes: [{ label: 'seconds from the first packet' }, { size: 80 }] }, [xs, ys], document.getElementById(id));
}
report.files.forEach((file, i) => {
  if (file.time === null) return;
  const rate = file.time.rate;
  const xs = rate.packets.map((_, k) => k * rate.binSeconds);
  const perSecond = rate.packets.map((n) => n / rate.binSeconds);
  line('packets-' + i, 'Packets per second', 'packets/s', xs, perSecond, '#1565c022');
  line('bits-' + i, 'Mbit per second', 'Mbit/s', xs, rate.bytes.map((n) => n * 8 / rate.binSeconds / 1e6), '#2e7d3222');
  const classes = file.sizes.classes;
  const names = classes.map((c) => c.to === null ? c.from + '+' : c.from + '-' + c.to);
  new uPlot({ title: 'Packets by length in bytes', width, height: 240,
    scales: { x: { time: false, range: [-0.6, classes.length - 0.4] } },
    series: [{ label: 'bytes', value: (_, v) => v === null ? '' : names[v] },
      { label: 'packets', stroke: '#6a1b9a', fill: '#6a1b9a66', paths: uPlot.paths.bars({ size: [0.8, 80] }) }],
    axes: [{ splits: () => classes.map((_, k) => k), values: (_, ks) => ks.map((k) => names[k] ?? '') },
      { size: 80 }] },
    [classes.map((_, k) => k), classes.map((c) => c.packets)], document.getElementById('sizes-' + i));
});
`;
