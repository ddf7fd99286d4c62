/**
 * Flows and hosts: the symmetric hash that shards flows, the table that counts them, and which side a packet is from.
 */
export { type AddressBlock, blockPredicate } from './address_block.ts';
export { type AddressEnd, AddressFilter } from './address_filter.ts';
export { openClassifier } from './classifier.ts';
export * from './direction.ts';
export { AutoClassifier } from './direction_auto.ts';
export { MatchClassifier } from './direction_match.ts';
export { SERVICE_TCP, SERVICE_UDP, wellKnownServices } from './direction_port.ts';
export { Evidence } from './evidence.ts';
export * from './hash.ts';
export { addressText, hostText } from './host_text.ts';
export { Side } from './server_networks.ts';
export * from './table.ts';
