// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cred_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char script[] =
    "set -e\n"
    "mkdir -p x509 x509ca x509ocsp x509aa x509ac x509crl pubkey private rsa ecdsa pkcs8 pkcs12 made\n"
    "cd made\n"
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj "
    "'/C=CH/O=Lab/CN=Lab Root "
    "CA' -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign\n"
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sub.key\n"
    "openssl req -new -key sub.key -subj '/C=CH/O=Lab/CN=Lab Sub CA' -out sub.csr\n"
    "printf 'basicConstraints=critical,CA:TRUE,pathlen:0\\nkeyUsage=critical,keyCertSign,cRLSign\\n"
    "subjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n' >sub.ext\n"
    "openssl x509 -req -in sub.csr -CA ca.pem -CAkey ca.key -set_serial 0x1001 -days 1000 -extfile sub.ext "
    "-out "
    "sub.pem\n"
    "openssl genrsa -traditional -out west.key 2048\n"
    "openssl ecparam -name prime256v1 -genkey -noout -out east.key\n"
    "openssl genpkey -algorithm ed25519 -out north.key\n"
    "end() {\n"
    "  openssl req -new -key $1.key -subj \"/C=CH/O=Lab/CN=$1.lab\" -out $1.csr\n"
    "  printf 'subjectAltName=DNS:%s.lab,email:%s@lab,IP:10.0.0.1\\nkeyUsage=digitalSignature\\n"
    "extendedKeyUsage=serverAuth,clientAuth\\nsubjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n' "
    "$1 $1 "
    ">$1.ext\n"
    "  openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -set_serial $3 -days 500 -extfile $1.ext -out "
    "$1.pem\n"
    "}\n"
    "end west ca 0x2001; end east sub 0x2002; end north ca 0x2003\n"
    ": >index.txt; echo 01 >crlnumber\n"
    "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\ncrlnumber=crlnumber\\ndefault_md=sha256\\n"
    "default_crl_days=30\\n' >ca.cnf\n"
    "openssl ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.pem -out root.crl\n"
    "cp ca.pem ../x509ca/; openssl x509 -in sub.pem -outform DER -out ../x509ca/sub.der\n"
    "cp west.pem east.pem ../x509/; openssl x509 -in north.pem -outform DER -out ../x509/north.der\n"
    "cp root.crl ../x509crl/; openssl pkey -in west.key -pubout -out ../pubkey/west.pub\n"
    "cp west.key ../rsa/west.pem; cp east.key ../ecdsa/east.pem; cp north.key ../private/plain.pem\n"
    "openssl pkcs8 -topk8 -in north.key -passout pass:geheim -v2 aes-256-cbc -out ../pkcs8/north.pem\n"
    "openssl rsa -in west.key -traditional -aes128 -passout pass:sesam -out ../private/westenc.pem\n"
    "openssl pkcs12 -export -in east.pem -inkey east.key -certfile sub.pem -passout pass:p12 -out "
    "../pkcs12/east.p12 "
    "-certpbe AES-256-CBC -keypbe AES-256-CBC\n";

void cred_dir_make(void)
{
    pki_write("make.sh", "%s", script);
    pki_run("sh make.sh");
}

const char *cred_dir_key_id(const char *name)
{
    static char text[41];
    // the bits of the public key: what follows the last header of SubjectPublicKeyInfo
    pki_run("openssl pkey -in made/%s.key -pubout -outform DER -out spki.der && "
            "openssl asn1parse -inform DER -in spki.der | awk -F'[: ]+' '/BIT STRING/{print $2, $0}' | "
            "sed 's/^ *//' >at.txt && at=$(sed -n 's/^ *\\([0-9]*\\).*/\\1/p' at.txt | tail -1) && "
            "hl=$(sed -n 's/.*hl= *\\([0-9]*\\).*/\\1/p' at.txt | tail -1) && "
            "tail -c +$((at + hl + 2)) spki.der | openssl sha1 -r | cut -d' ' -f1 >id.txt",
            name);
    struct slice s = pki_read("id.txt");
    assert_int_equal(s.len, 41);
    memcpy(text, s.p, 40);
    return text;
}
