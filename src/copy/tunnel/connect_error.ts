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
      return `${where} cut the connection: if at the start, see whether both ends speak TLS, or neither`;
    default:
      return `the tunnel to ${where} failed: ${tlsReasonOf(error.code ?? '') ?? error.message}`;
  }
}

/** Codes of OpenSSL's X509_verify_cert_error_string, and of its alerts (RFC 8446 section 6). */
function tlsReasonOf(code: string): string | null {
  switch (code) {
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'nobody in --tls-ca has signed its certificate (a self-signed one is its own --tls-ca)';
    case 'CERT_HAS_EXPIRED':
      return 'its certificate has expired: renew it, and start tsintercept again';
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'it does not speak TLS: leave --tls-ca out, or start tsintercept with --tls-cert';
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
      return 'it wants a certificate of this host: --tls-cert and --tls-key';
    case 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA':
    case 'ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR':
      return 'the certificate of --tls-cert is signed by nobody in the --tls-ca of tsintercept';
    default:
      return null;
  }
}

/** The other end has closed. `isProved`: after both had proved to have the key. */
export function closedText(where: string, isProved: boolean, speaksTls: boolean): string {
  if (isProved) return `${where} closed the connection`;
  const tls = speaksTls ? 'does tsintercept there speak TLS (--tls-cert)' : 'does it want TLS (--tls-ca)';
  return `${where} closed the connection before it said who it is: ${tls}, and is it tsintercept?`;
}
