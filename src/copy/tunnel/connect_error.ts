/** Why a connection could not be made, or was lost, in one sentence with what to look at. */
export function reasonOf(error: NodeJS.ErrnoException, where: string): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return where.startsWith('[')
        ? `nothing listens at ${where}: start tsintercept there with --listen '[::]:${where.split(':').at(-1)}'`
        : `nothing listens at ${where}: start tsintercept there, and let the firewall pass its port`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `there is no way to ${where}: see ip route get`;
    case 'ETIMEDOUT':
      return `${where} does not answer: is tsintercept running there, and does the firewall pass its port?`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name of ${where} is not known: give an address`;
    case 'ECONNRESET':
    case 'EPIPE':
      return `${where} cut the connection`;
    default:
      return `the tunnel to ${where} failed: ${error.message}`;
  }
}
