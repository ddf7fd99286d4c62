/** YAML files of operators: parsed with positions, so that every complaint names file and line. */
import { usage } from './values.ts';

export interface YamlFile {
  readonly path: string;
  readonly value: unknown;
  /** 1-based line of the value under these keys, or of the nearest one around it. */
  lineOf(keys: readonly (string | number)[]): number;
}

/** `yaml` is loaded on first use: most command lines need no YAML. */
export async function parseYamlFile(path: string, text: string): Promise<YamlFile> {
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
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
        const node = document.getIn(keys.slice(0, depth), true) as { range?: readonly number[] } | undefined;
        if (node?.range !== undefined) return lines.linePos(node.range[0]!).line;
      }
      return 1;
    },
  };
}
