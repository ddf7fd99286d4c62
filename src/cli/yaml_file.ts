/** YAML files of operators: parsed with positions, so that every complaint names file and line. */
import { usage } from './values.ts';

export interface YamlFile {
  readonly path: string;
  readonly value: unknown;
  /** 1-based line where the entry under these keys begins, or the nearest one around it. */
  lineOf(keys: readonly (string | number)[]): number;
}

/** `yaml` is loaded on first use: most command lines need no YAML. */
export async function parseYamlFile(path: string, text: string): Promise<YamlFile> {
  const { isMap, isNode, isScalar, LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const keyOf = (key: unknown): unknown => (isScalar(key) ? key.value : key);
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const fault = document.errors[0];
  if (fault !== undefined) {
    const what = fault.message.split(/ at line | \(|\n/)[0]!.replace(/:$/, '');
    throw usage(`${path} line ${lines.linePos(fault.pos[0]).line}: ${what}`);
  }
  return {
    path,
    value: document.toJS({ maxAliasCount: 100 }),
    lineOf(keys) {
      for (let depth = keys.length; depth > 0; depth--) {
        const parent = depth === 1 ? document.contents : document.getIn(keys.slice(0, depth - 1), true);
        const pair = isMap(parent) ? parent.items.find((item) => keyOf(item.key) === keys[depth - 1]) : undefined;
        const node = pair === undefined ? document.getIn(keys.slice(0, depth), true) : pair.key;
        if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
      }
      return 1;
    },
  };
}
