#!/usr/bin/env bash
# Makes what compose.yaml mounts and what must not be in a repository: the certificates between edge and custody, a CA for
# guests unless you brought your own, the directories, and .env with the user that owns them. Changes nothing that is there.
set -euo pipefail
umask 077
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '%s\n' "$*"; }
command -v openssl >/dev/null 2>&1 || { say "openssl is missing: install it and run this again" >&2; exit 1; }

mkdir -p secrets var/edge var/custody guest
chmod 755 guest

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# certificate authority: NAME SUBJECT DAYS
make_ca() {
  cat >"$work/ca.cnf" <<CNF
[req]
distinguished_name = dn
x509_extensions = ca
prompt = no
[dn]
CN = $2
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CNF
  openssl req -x509 -sha256 "${new_key[@]}" -days "$3" -config "$work/ca.cnf" -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

# leaf of the custody CA: NAME KEY_USAGE
make_leaf() {
  printf '[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = %s\n' "$1" >"$work/leaf.cnf"
  cat >"$work/leaf.ext" <<EXT
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $2
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:$1
EXT
  openssl req -new -sha256 "${new_key[@]}" -config "$work/leaf.cnf" -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
  openssl x509 -req -sha256 -in "$work/$1.csr" -CA "$work/custody-ca.crt" -CAkey "$work/custody-ca.key" -CAcreateserial \
    -days 397 -extfile "$work/leaf.ext" -out "$work/$1.crt" 2>/dev/null
}

mtls=(custody-ca.crt custody.crt custody.key edge.crt edge.key)
present=0
for file in "${mtls[@]}"; do [ -e "secrets/$file" ] && present=$((present + 1)); done
if [ "$present" -eq "${#mtls[@]}" ]; then
  say "secrets/: the certificates between edge and custody are there; to renew them, remove ${mtls[*]} and run this again"
elif [ "$present" -gt 0 ]; then
  say "secrets/ holds only some of ${mtls[*]}: remove these and run this again" >&2
  exit 1
else
  # The key of this CA is gone when the script ends: nobody can issue a third certificate.
  make_ca "$work/custody-ca" "postern custody" 397
  make_leaf custody serverAuth
  make_leaf edge clientAuth
  for file in "${mtls[@]}"; do mv "$work/$file" "secrets/$file"; done
  say "secrets/: made certificates between edge and custody, valid for 397 days"
fi

if [ -e secrets/ca.crt ] || [ -e secrets/ca.key ]; then
  say "secrets/ca.crt and secrets/ca.key: kept yours"
else
  make_ca "$work/ca" "postern guests' CA" 397
  mv "$work/ca.key" secrets/ca.key
  mv "$work/ca.crt" secrets/ca.crt
  say "secrets/ca.crt: made a CA for guests, valid for 397 days"
fi

[ -e .env ] || printf 'POSTERN_UID=%s\nPOSTERN_GID=%s\n' "$(id -u)" "$(id -g)" >.env
if [ "$(id -u)" -eq 0 ] && grep -q '^POSTERN_UID=0$' .env; then
  # Root prepares, nobody runs as root.
  printf 'POSTERN_UID=10001\nPOSTERN_GID=10001\n' >.env
  chown -R 10001:10001 secrets var guest
fi

if [ -e secrets/openai_api_key ]; then
  say "secrets/openai_api_key: kept yours; next: docker compose up -d"
else
  say "next: write the API key into secrets/openai_api_key (mode 0600, owner as in .env), then: docker compose up -d"
fi
