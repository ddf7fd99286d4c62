/** Option values of `tsprep` to what is to be done. Files that options name have been read before. */
import { type AddressBlock, addressText, type DirectionSpec, type Services, wellKnownServices } from '../flow/index.ts';
import { type AutoOptions, autoSpecFrom } from './prep_auto.ts';
import { posixRegex } from './prep_regex.ts';
import type { PacketRule } from './prep_values.ts';
import { usage } from './values.ts';

/** As the option parsers leave them, by commander's attribute names. */
export interface PrepOptions extends AutoOptions {
  readonly cidr?: readonly AddressBlock[];
  readonly regex?: string;
  readonly port?: true;
  readonly mac?: readonly (readonly number[])[];
  readonly services?: string;
  readonly include?: PacketRule;
  readonly exclude?: PacketRule;
  readonly pcap?: string;
  readonly cachefile?: string;
  readonly comment?: string;
  /** False: `--no-arg-comment`. */
  readonly argComment?: boolean;
  readonly explain?: true;
  readonly printComment?: string;
  readonly printInfo?: string;
  readonly printStats?: string;
  readonly verbose?: true;
  readonly decode?: string;
  readonly suppressWarnings?: true;
  readonly dbug?: number;
}

/** Throws USAGE where no mode is named or values clash. */
export function directionSpecFrom(options: PrepOptions, services: Services | null): DirectionSpec {
  const compat = options.compat === 'tcpprep';
  const nonIpPrimary = options.nonip ?? false;
  const reverse = options.reverse ?? false;
  if (options.auto !== undefined) return autoSpecFrom(options.auto, options);
  if (options.cidr !== undefined) return { kind: 'cidr', blocks: options.cidr, reverse, nonIpPrimary };
  if (options.regex !== undefined) {
    const pattern = posixRegex(options.regex, '--regex');
    if (compat && reverse) return { kind: 'match', matches: () => false, reverse: false, nonIpPrimary };
    return {
      kind: 'match',
      matches: (version, words) => pattern.test(addressText(version, words)),
      reverse,
      nonIpPrimary,
    };
  }
  if (options.port) {
    return { kind: 'port', services: services ?? wellKnownServices(), reverse: reverse && !compat, nonIpPrimary };
  }
  if (options.mac !== undefined) return { kind: 'mac', macs: options.mac, reverse, nonIpPrimary };
  throw usage('how are packets to be split? Give --auto, --cidr, --regex, --port or --mac (see tsprep --help)');
}

/**
 * The comment of a cache: the command line without the comment in it, a line feed, the comment. As tcpprep, a comment
 * glued to its option (`--comment=TEXT`, `-CTEXT`) stays in the command line.
 */
export function cacheComment(argv: readonly string[], options: PrepOptions): string {
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '-C' || argv[i] === '--comment') i++;
    else words.push(argv[i]!);
  }
  const comment = options.comment === undefined ? '' : `\n${options.comment}`;
  return `${options.argComment === false ? '' : words.join(' ')}${comment}`;
}
