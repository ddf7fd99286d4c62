/** Rewriting of packets at layers 2 to 4: `compileRewriter(spec).edit(batch, i, direction)`. */
export { parseAddressMap, parseEndpoints } from './address_map.ts';
export {
  AnonymizeCounters,
  type Anonymizer,
  type AnonymizeSpec,
  openAnonymizer,
  parsePayloadPolicy,
  readAnonymizeKey,
} from './anonymize.ts';
export { CAUSE_NAMES, Cause, RewriteCounters } from './causes.ts';
export { cidrFromText, ipv4FromText, ipv6FromText } from './cidr.ts';
export { CompiledRewriter, compileRewriter } from './compile.ts';
export { encapsulationOf, FRAMING_DEFAULTS, Framer, type FramingSpec, framingOf, type ResolveMac } from './framing.ts';
export { parseHexBytes } from './hex_bytes.ts';
export { macFromText, parseMacPair, parseMacSubstitutions } from './mac.ts';
export { parseNumber, parseSeed } from './numbers.ts';
export { OversizeSplitter, SPLIT_FRAMES_MAX, Split, type SplitStatus } from './oversize.ts';
export { parsePortMap } from './port_map.ts';
export { Direction, Edit, type EditStatus, type Rewriter } from './rewriter.ts';
export * from './spec.ts';
export { parseTagRules, TAG_RULES_MAX } from './tag_rules.ts';
export { parseTtl } from './ttl.ts';
export { applyUniqueIp } from './unique_ip.ts';
