/** Which options need or exclude which: one table per command, checked before anything else, each with a sentence. */
import type { Setting } from './autoopts.ts';
import { listed, usage } from './values.ts';

export type Rule =
  /** `option` works only with at least one of `needs`. */
  | { readonly option: string; readonly needs: readonly string[]; readonly why?: string }
  /** At most one of these. */
  | { readonly oneOf: readonly string[]; readonly why: string }
  /** `option` excludes each of `excludes`. */
  | { readonly option: string; readonly excludes: readonly string[]; readonly why: string };

export function checkRules(rules: readonly Rule[], settings: readonly Setting[]): void {
  const given = new Map(settings.map((setting) => [setting.name, setting]));
  for (const rule of rules) {
    if ('oneOf' in rule) {
      const found = rule.oneOf.filter((name) => given.has(name));
      if (found.length > 1) throw clash(given.get(found[0]!)!, given.get(found[1]!)!, rule.why);
      continue;
    }
    const setting = given.get(rule.option);
    if (setting === undefined) continue;
    if ('needs' in rule) {
      if (rule.needs.some((name) => given.has(name))) continue;
      const names = rule.needs.map((name) => `--${name}`);
      throw usage(`--${rule.option} needs ${listed(names, 'or')}${rule.why === undefined ? '' : `: ${rule.why}`}`);
    }
    const other = rule.excludes.find((name) => given.has(name));
    if (other !== undefined) throw clash(setting, given.get(other)!, rule.why);
  }
}

function clash(a: Setting, b: Setting, why: string): Error {
  const from = a.from === b.from ? '' : ` (${a.from}; ${b.from})`;
  return usage(`--${a.name} and --${b.name} cannot both be given${from}: ${why}`);
}
