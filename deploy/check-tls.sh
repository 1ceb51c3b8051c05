#!/usr/bin/env bash
# Tries a TLS port from outside, with openssl s_client: what must be refused, and what must be let in.
# usage: check-tls.sh HOST PORT CA CERT KEY [REVOKED_CERT REVOKED_KEY [STRANGER_CERT STRANGER_KEY]]
#   CA             who has issued the server's certificate
#   CERT, KEY      a client that must be let in
#   REVOKED_…      a client whose certificate is revoked
#   STRANGER_…     a client whose certificate is valid, but in no table of systems
# Exit 0: all as it should be; 1: not; 2: usage, or no server there. What could not be tried is printed.
set -uo pipefail
if [[ $# -ne 5 && $# -ne 7 && $# -ne 9 ]]; then
  sed -n '3,7s/^# //p' "$0" >&2
  exit 2
fi
host=$1 port=$2 ca=$3 cert=$4 key=$5
revoked=("${@:6:2}") stranger=("${@:8:2}")
failed=0

say() { printf 'tls: %-12s %s\n' "$1" "$2"; }
wrong() { say WRONG "$1"; failed=1; }

# A request, and what came back with openssl's own words. Weak suites and old versions are offered by us all the
# same, so that it is the server who refuses them.
speak() {
  local request=$1
  shift
  printf '%b' "$request" | timeout 15 openssl s_client -connect "$host:$port" -servername "$host" \
    -CAfile "$ca" -verify_return_error -ign_eof "$@" 2>&1 | tr -d '\0'
}
health="GET /health/live HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n"
message='<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>'
soap="POST /xds/registry HTTP/1.1\r\nHost: $host\r\nContent-Type: application/soap+xml\r\n"
soap+="Content-Length: ${#message}\r\nConnection: close\r\n\r\n$message"

# Whether HTTP was spoken with a client of the right kind: nginx answers 400 to one without a good certificate,
# since its protocol lets it do so only after the handshake.
let_in() { grep -q '^HTTP/1\.[01] ' <<<"$1" && ! grep -q 'SSL certificate' <<<"$1"; }

# refused NAME CLIENT…: the server must not let this client in, by its own doing.
refused() {
  local name=$1 said
  shift
  said=$(speak "$health" "$@")
  if grep -qi 'no protocols available\|no ciphers available\|no cipher match' <<<"$said"; then
    say 'NOT TRIED' "$name: this openssl cannot offer it"
  elif let_in "$said"; then
    wrong "$name: let in"
  elif grep -q 'connect:errno\|Connection refused' <<<"$said"; then
    wrong "$name: no server at $host:$port"
  else
    say refused "$name"
  fi
}

# accepted NAME VERSION CLIENT…
accepted() {
  local name=$1 version=$2 said
  shift 2
  said=$(speak "$health" "$@")
  if let_in "$said" && grep -q "$version" <<<"$said"; then
    say 'let in' "$name"
  else
    wrong "$name: refused"
    tail -n 3 <<<"$said" >&2
  fi
}

said=$(speak "$health" -cert "$cert" -key "$key")
if grep -q 'connect:errno\|Connection refused\|getaddrinfo' <<<"$said"; then
  say WRONG "no server at $host:$port"
  exit 2
fi
us=(-cert "$cert" -key "$key")
accepted 'TLS 1.2' 'TLSv1.2' -tls1_2 "${us[@]}"
accepted 'TLS 1.3' 'TLSv1.3' -tls1_3 "${us[@]}"
for version in ssl3 tls1 tls1_1; do
  refused "$version" "-$version" -cipher 'ALL:@SECLEVEL=0' "${us[@]}"
done
weak() { refused "suites $1" -tls1_2 -cipher "$2:@SECLEVEL=0" "${us[@]}"; }
weak 'without encryption' 'eNULL'
weak 'without authentication' 'aNULL'
weak 'with 3DES' '3DES'
weak 'with RC4' 'RC4'
weak 'with CBC and SHA-1' 'ECDHE+AES+SHA1'
weak 'with CBC and SHA-2' 'ECDHE+AES+SHA256:ECDHE+AES+SHA384:!AESGCM:!AESCCM'
weak 'without forward secrecy' 'kRSA'
refused 'no client certificate, TLS 1.2' -tls1_2
refused 'no client certificate, TLS 1.3' -tls1_3
if [[ ${#revoked[@]} -eq 2 ]]; then
  refused 'revoked certificate, TLS 1.2' -tls1_2 -cert "${revoked[0]}" -key "${revoked[1]}"
  refused 'revoked certificate, TLS 1.3' -tls1_3 -cert "${revoked[0]}" -key "${revoked[1]}"
else
  say 'NOT TRIED' 'revoked certificate'
fi
if [[ ${#stranger[@]} -eq 2 ]]; then
  said=$(speak "$soap" -cert "${stranger[0]}" -key "${stranger[1]}")
  if grep -q 'FailedAuthentication' <<<"$said"; then
    say refused 'certificate of no registered system: SOAP fault wsse:FailedAuthentication'
  else
    wrong 'certificate of no registered system: no SOAP fault wsse:FailedAuthentication'
  fi
else
  say 'NOT TRIED' 'certificate of no registered system'
fi
exit "$failed"
