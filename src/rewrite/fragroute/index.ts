/** `--fragroute`: packets made to get past what watches them. */
export { Fragroute, parseFragroute } from './fragroute.ts';
export { DIRECTIVES } from './rules.ts';
