// SPDX-License-Identifier: Apache-2.0
// The words in which the rooms speak of credentials that are public: their kinds, and what revocation asks
// for.
#ifndef CTRL_TRUST_H
#define CTRL_TRUST_H

enum pki_kind {   // of what a store holds
    PKI_X509 = 1, // a certificate that is nobody's anchor: an end's, or an intermediate authority's
    PKI_CA,       // a trust anchor
    PKI_CRL,
    PKI_PUBKEY, // SubjectPublicKeyInfo
    PKI_OCSP,   // a response (only cached, never loaded)
};
enum pki_revocation {
    PKI_RELAXED, // only a certificate that is known to be revoked is refused
    PKI_IFURI,   // refused too where it names a source and that gives no answer
    PKI_STRICT,  // refused unless an answer says that it is good
};

#endif
