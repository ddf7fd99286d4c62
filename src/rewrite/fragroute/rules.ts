/** A fragroute rule file: one directive a line, applied in order; `#` begins a comment. */
import { ipChaffRule, tcpChaffRule } from './chaff_rules.ts';
import { ipFragRule } from './ip_frag_rule.ts';
import { ip6OptRule, ip6QosRule, ipOptRule, ipTosRule, ipTtlRule } from './ip_header_rules.ts';
import { delayRule, dropRule, dupRule, echoRule, orderRule, printRule } from './queue_rules.ts';
import { type Rule, Words } from './rule.ts';
import { tcpOptRule, tcpSegRule } from './tcp_rules.ts';

/** The sixteen directives. */
export const DIRECTIVES: Readonly<Record<string, (words: Words) => Rule>> = {
  delay: delayRule,
  drop: dropRule,
  dup: dupRule,
  echo: echoRule,
  ip_chaff: ipChaffRule,
  ip_frag: ipFragRule,
  ip_opt: ipOptRule,
  ip_tos: ipTosRule,
  ip_ttl: ipTtlRule,
  ip6_opt: ip6OptRule,
  ip6_qos: ip6QosRule,
  order: orderRule,
  print: printRule,
  tcp_chaff: tcpChaffRule,
  tcp_opt: tcpOptRule,
  tcp_seg: tcpSegRule,
};

/** Throws `OperatorError('USAGE')` naming the line. `path` is for messages. */
export function parseRules(path: string, text: string): Rule[] {
  const rules: Rule[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const tokens = tokensOf(raw);
    const name = tokens[0];
    if (name === undefined) continue;
    const words: Words = new Words(`${path} line ${index + 1}`, name, tokens.slice(1));
    const make = Object.hasOwn(DIRECTIVES, name) ? DIRECTIVES[name] : undefined;
    if (make === undefined) words.refuse(`is no directive; there are ${Object.keys(DIRECTIVES).join(', ')}`);
    rules.push(make(words));
  }
  return rules;
}

/** Words between blanks, quotes taken off. */
function tokensOf(line: string): string[] {
  const tokens: string[] = [];
  for (const match of line.matchAll(/"([^"]*)"|'([^']*)'|(#.*)|(\S+)/g)) {
    if (match[3] !== undefined) break;
    tokens.push(match[1] ?? match[2] ?? match[4]!);
  }
  return tokens;
}
