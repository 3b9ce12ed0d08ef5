#!/bin/sh
# Makes what compose.yaml's services keep secret, each into the volume of those who read it: keys for the object store,
# Grafana's administrator's password, a certificate authority and the load balancer's certificate.
#
# What is there stays; what is missing is made; the certificate is also made again within 30 days of its end, or when
# ONNWARD_HOSTNAME has changed. What lies in /own (docker/secrets/own) takes the place of what would be made:
#   certificate.pem, key.pem    the load balancer's certificate with its chain, and its key
#   ca.pem                      what clients verify that certificate by; without it the last one of certificate.pem
#   grafana-password            the administrator's, for Grafana's first start
#   pagerduty-routing-key, slack-webhook-url, smtp-password    what Alertmanager reaches people by; without them nobody is told
set -eu
umask 077

RENEW_SECONDS=$((30 * 86400))

main() {
    store_keys
    grafana_password
    alertmanager_secrets
    if [ -e /own/certificate.pem ]; then
        own_certificate
    else
        authority
        certificate
    fi
}

# Two pairs: the publisher may do everything, the engines only read.
store_keys() {
    [ ! -s /store/s3.json ] || return 0
    for reader in publisher engine; do
        openssl rand -hex 10 | install_as "/$reader-keys/access-key-id" "$ENGINE_USER" 0400
        openssl rand -hex 32 | install_as "/$reader-keys/secret-access-key" "$ENGINE_USER" 0400
    done
    identities | install_as /store/s3.json "$STORE_USER" 0400
    say "made the object store's keys"
}

identities() {
    printf '{"identities": ['
    identity publisher '"Admin"'
    printf ', '
    identity engine '"Read", "List"'
    printf ']}\n'
}

identity() {
    printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": [%s]}' \
        "$1" "$(cat "/$1-keys/access-key-id")" "$(cat "/$1-keys/secret-access-key")" "$2"
}

grafana_password() {
    if [ -s /own/grafana-password ]; then
        install_as /grafana/admin-password "$GRAFANA_USER" 0400 </own/grafana-password
    elif [ ! -s /grafana/admin-password ]; then
        openssl rand -base64 24 | install_as /grafana/admin-password "$GRAFANA_USER" 0400
        say "made Grafana's password"
    fi
}

alertmanager_secrets() {
    for name in pagerduty-routing-key slack-webhook-url smtp-password; do
        [ ! -s "/own/$name" ] || install_as "/alertmanager/$name" "$ALERTMANAGER_USER" 0400 <"/own/$name"
    done
}

own_certificate() {
    [ -s /own/key.pem ] || fail "docker/secrets/own has certificate.pem without key.pem; put the key there as well"
    public=$(openssl x509 -in /own/certificate.pem -noout -pubkey) || fail "certificate.pem is no certificate in PEM"
    [ "$public" = "$(openssl pkey -in /own/key.pem -pubout)" ] || fail "key.pem is not the key of certificate.pem"
    if [ -s /own/ca.pem ]; then
        install_as /certificates/ca.pem root 0444 </own/ca.pem
    else
        awk '/BEGIN CERT/ { last = "" } { last = last $0 "\n" } END { printf "%s", last }' /own/certificate.pem |
            install_as /certificates/ca.pem root 0444
    fi
    publish /own/certificate.pem /own/key.pem
    say "took the certificate of docker/secrets/own"
}

authority() {
    [ ! -s /authority/ca.pem ] || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /authority/ca.key -out /authority/ca.pem \
        -days 3650 -subj "/O=Onnward/CN=Onnward stack" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null ||
        fail "openssl could not make the certificate authority"
    say "made a certificate authority"
}

certificate() {
    case ${ONNWARD_HOSTNAME:-} in
    *[!A-Za-z0-9.:-]*) fail "ONNWARD_HOSTNAME=$ONNWARD_HOSTNAME is no host's name or address" ;;
    esac
    install_as /certificates/ca.pem root 0444 </authority/ca.pem
    names="DNS:localhost,DNS:load-balancer,IP:127.0.0.1,IP:::1${ONNWARD_HOSTNAME:+,$(subject "$ONNWARD_HOSTNAME")}"
    ! certificate_serves "$names" || return 0
    work=$(mktemp -d)
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key.pem" \
        -out "$work/certificate.pem" -CA /authority/ca.pem -CAkey /authority/ca.key -days 397 \
        -subj "/O=Onnward/CN=${ONNWARD_HOSTNAME:-localhost}" -addext "subjectAltName=$names" \
        -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
        -addext extendedKeyUsage=serverAuth 2>/dev/null ||
        fail "openssl could not make a certificate for $names"
    publish "$work/certificate.pem" "$work/key.pem"
    printf '%s\n' "$names" | install_as /authority/names root 0600
    rm -rf "$work"
    say "made the load balancer's certificate for $names until $(openssl x509 -in /tls/server.pem -noout -enddate | cut -d = -f 2)"
}

# subject HOST: how a certificate names it.
subject() {
    case $1 in
    *:*) echo "IP:$1" ;;
    *[!0-9.]*) echo "DNS:$1" ;;
    *) echo "IP:$1" ;;
    esac
}

certificate_serves() {
    [ -s /tls/server.pem ] && [ "$(cat /authority/names 2>/dev/null)" = "$1" ] &&
        openssl x509 -in /tls/server.pem -noout -checkend "$RENEW_SECONDS" >/dev/null &&
        openssl verify -CAfile /authority/ca.pem /tls/server.pem >/dev/null 2>&1
}

# publish CERTIFICATE KEY: both for the load balancer, the certificate alone for whoever watches its end.
publish() {
    cat "$1" "$2" | install_as /tls/server.pem "$LOAD_BALANCER_USER" 0400
    install_as /certificates/server.pem root 0444 <"$1"
}

# install_as FILE OWNER MODE: standard input becomes the file, at once and never half.
install_as() {
    cat >"$1.new"
    chown "$2" "$1.new"
    chmod "$3" "$1.new"
    mv -f "$1.new" "$1"
}

say() {
    printf 'secrets: %s\n' "$1"
}

fail() {
    printf 'secrets: %s\n' "$1" >&2
    exit 1
}

main
