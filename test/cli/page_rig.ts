/** Reads a page of charts as a browser would: its data, and whether its script draws what it is to draw. */
import assert from 'node:assert/strict';

export interface PageFacts {
  /** The text of its data element. */
  readonly data: string;
  readonly charts: number;
}

/** Throws where something would be fetched, or a chart has no data. */
export function readPage(page: string): PageFacts {
  assert.doesNotMatch(page, /(src|href)\s*=\s*["']?(https?:)?\/\//i, 'nothing is fetched');
  const data = /<script type="application\/json" id="data">([^<]*)<\/script>/.exec(page)?.[1] ?? '';
  const scripts = [...page.matchAll(/<script>([\s\S]*?)<\/script>/g)].map((match) => match[1]!);
  assert.equal(scripts.length, 2);
  return { data, charts: drawn(scripts[1]!, data, page) };
}

/** How many charts a page's own script draws. */
function drawn(script: string, data: string, page: string): number {
  let charts = 0;
  class Chart {
    static readonly paths = { stepped: () => null, bars: () => null };
    constructor(options: { series: unknown[]; axes: unknown[] }, columns: (number | null)[][], target: unknown) {
      assert.notEqual(target, null);
      assert.equal(options.series.length, columns.length);
      for (const column of columns) assert.equal(column.length, columns[0]!.length);
      assert.ok(columns.flat().every((value) => value === null || Number.isFinite(value)));
      charts++;
    }
  }
  const element = (id: string) => ({ id, textContent: id === 'data' ? data : '', append() {}, clientWidth: 800 });
  const document = {
    getElementById: (id: string) => (page.includes(`id="${id}"`) ? element(id) : null),
    createElement: () => element(''),
    documentElement: {},
  };
  const globals = {
    uPlot: Chart,
    document,
    getComputedStyle: () => ({ getPropertyValue: () => '#123456' }),
    matchMedia: () => ({ addEventListener() {} }),
    addEventListener() {},
    innerWidth: 1000,
  };
  new Function(...Object.keys(globals), script)(...Object.values(globals));
  return charts;
}
