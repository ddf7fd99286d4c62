/** `--html`: one page with charts that needs nothing from the network: data, script and style stand in it. */
import { escapeHtml, htmlPage } from './html_page.ts';
import type { InfoReport } from './info_report.ts';
import { factLines, readyLines } from './info_text.ts';

export function htmlReport(report: InfoReport): string {
  const body = `<h1>Captures</h1>\n${report.files.map((file, i) => fileSection(file, i)).join('\n')}`;
  const title = `tsinfo: ${report.files.map((file) => file.path).join(', ')}`;
  return htmlPage({ title, body, data: report, script: DRAW });
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

/** Plain browser script, see `html_page.ts`: three charts a capture. */
const DRAW = `
data.files.forEach((file, i) => {
  if (file.time === null) return;
  const rate = file.time.rate;
  const x = { x: rate.packets.map((_, k) => k * rate.binSeconds), step: rate.binSeconds,
    xLabel: 'seconds from the first packet', xName: 'seconds' };
  const line = (id, title, label, color, values) =>
    chart(id + '-' + i, { ...x, title }, [{ label, color, values, fill: true, stepped: true }]);
  line('packets', 'Packets per second', 'packets/s', 'a', rate.packets.map((n) => n / rate.binSeconds));
  line('bits', 'Mbit per second', 'Mbit/s', 'b', rate.bytes.map((n) => n * 8 / rate.binSeconds / 1e6));
  const classes = file.sizes.classes;
  const names = classes.map((c) => c.to === null ? c.from + '+' : c.from + '–' + c.to);
  chart('sizes-' + i, { title: 'Packets by length', names, xLabel: 'bytes', xName: 'bytes' },
    [{ label: 'packets', color: 'c', values: classes.map((c) => c.packets) }]);
});
`;
