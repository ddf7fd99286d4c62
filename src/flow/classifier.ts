/** The classifier for a direction spec. */
import { blockPredicate } from './address_block.ts';
import type { Classifier, DirectionSpec } from './direction.ts';
import { AutoClassifier } from './direction_auto.ts';
import { MacClassifier } from './direction_mac.ts';
import { MatchClassifier } from './direction_match.ts';
import { PortClassifier } from './direction_port.ts';

export function openClassifier(spec: DirectionSpec): Classifier {
  switch (spec.kind) {
    case 'auto':
      return new AutoClassifier(spec);
    case 'cidr':
      return new MatchClassifier(spec, blockPredicate(spec.blocks));
    case 'match':
      return new MatchClassifier(spec, spec.matches);
    case 'port':
      return new PortClassifier(spec, spec.services);
    case 'mac':
      return new MacClassifier(spec, spec.macs);
  }
}
