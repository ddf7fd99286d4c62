/** `--config file.yaml`: the long options as keys, flags as true or false, lists where an option may be repeated. */
import type { Command, Option } from 'commander';
import { nearestName, type Setting } from './autoopts.ts';
import { notInFiles } from './option_file.ts';
import { longName, refuseKnown, takesValue } from './option_table.ts';
import { usage } from './values.ts';
import { parseYamlFile, type YamlFile } from './yaml_file.ts';

export interface ConfigFile {
  readonly settings: readonly Setting[];
  /** The captures under the key `files`. */
  readonly files: readonly string[];
}

export async function parseConfigFile(command: Command, path: string, text: string): Promise<ConfigFile> {
  const file = await parseYamlFile(path, text);
  if (file.value === null) return { settings: [], files: [] };
  const entries = await checkedEntries(file);
  const settings: Setting[] = [];
  let files: readonly string[] = [];
  for (const [key, value] of Object.entries(entries)) {
    const where = `${path} line ${file.lineOf([key])}`;
    if (key === 'files') files = asList(value).map(String);
    else settings.push(...settingsOf(command, key, value, where));
  }
  return { settings, files };
}

type Scalar = string | number | boolean;
type Value = Scalar | readonly Scalar[];

async function checkedEntries(file: YamlFile): Promise<Record<string, Value>> {
  if (typeof file.value !== 'object' || Array.isArray(file.value)) {
    throw usage(`${file.path} line 1: options are written as "name: value"`);
  }
  const v = await import('valibot');
  const scalar = v.union([v.string(), v.number(), v.boolean()]);
  const result = v.safeParse(v.record(v.string(), v.union([scalar, v.array(scalar)])), file.value);
  if (result.success) return result.output;
  const keys = (result.issues[0].path ?? []).map((step) => step.key as string | number);
  throw usage(
    `${file.path} line ${file.lineOf(keys)}: ${keys[0]} needs a text, a number, true or false, or a list of them`,
  );
}

function settingsOf(command: Command, key: string, value: Value, where: string): Setting[] {
  const { option, inverted } = optionOf(command, key, where);
  const name = longName(option);
  if (notInFiles(name)) throw usage(`${where}: --${name} works on the command line only`);
  refuseKnown(option);
  if (!takesValue(option)) {
    if (typeof value !== 'boolean') throw usage(`${where}: ${key} is true or false, not ${JSON.stringify(value)}`);
    if (value !== inverted) return [{ name, value: null, from: where }];
    const opposite = inverted ? undefined : command.options.find((other) => longName(other) === `no-${name}`);
    return opposite === undefined ? [] : [{ name: longName(opposite), value: null, from: where }];
  }
  if (typeof value === 'boolean') throw usage(`${where}: ${key} needs a value, not ${value}`);
  return asList(value).map((item) => ({ name, value: String(item), from: where }));
}

/** `flow-stats: false` is `no-flow-stats: true`. Keys are whole names. */
function optionOf(command: Command, key: string, where: string): { option: Option; inverted: boolean } {
  const wanted = key.toLowerCase().replaceAll('_', '-');
  const named = command.options.find((option) => longName(option) === wanted);
  if (named !== undefined) return { option: named, inverted: false };
  const opposite = command.options.find((option) => longName(option) === `no-${wanted}`);
  if (opposite !== undefined) return { option: opposite, inverted: true };
  const near = nearestName(wanted, [...command.options.map(longName), 'files']);
  const hint = near === null ? `see ${command.name()} --help` : `did you mean ${near}?`;
  throw usage(`${where}: ${key} is no option of ${command.name()}: ${hint}`);
}

function asList(value: Value): readonly Scalar[] {
  return Array.isArray(value) ? value : [value as Scalar];
}
