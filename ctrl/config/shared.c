// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/shared.h"

#include <string.h>
#include <strings.h>

#include "ctrl/lib/conn.h"

const char *shared_type(const char *text)
{
    static const char *const types[] = {"ike", "ppk", "eap"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcasecmp(text, types[i]) == 0)
            return types[i];
    return NULL;
}

static const char *check_type(const char *type)
{
    if (!type)
        return "shared key type missing";
    if (strcasecmp(type, "xauth") == 0 || strcasecmp(type, "ntlm") == 0)
        return "XAuth and NTLM secrets are not supported yet: types ike, ppk and eap are";
    return shared_type(type) ? NULL : "invalid shared key type: expected ike, ppk or eap";
}

static const char *check_owners(const struct vici_node *list)
{
    static const char wrong[] = "invalid owners: expected a list of at most 32 identities";
    unsigned count = 0;
    if (list && list->kind != VICI_LIST)
        return wrong;
    for (const struct vici_node *n = list ? list->child : NULL; n; n = n->next) {
        if (!vici_text(n) || n->len >= ID_MAX_LEN || ++count > SHARED_OWNERS_MAX)
            return wrong;
    }
    return NULL;
}

const char *config_check_shared(const struct vici_node *root)
{
    const struct vici_node *id = vici_find(root, "id"), *data = vici_find(root, "data");
    const char *wrong = check_type(vici_get(root, "type"));
    if (wrong)
        return wrong;
    if (!data || data->kind != VICI_VALUE)
        return "shared key data missing";
    if (data->len == 0 || data->len > SHARED_MAX)
        return data->len ? "shared key data longer than 512 octets" : "shared key data is empty";
    if (id && (!vici_text(id) || id->len == 0 || id->len >= NAME_MAX_LEN ||
               strncmp(vici_text(id), SHARED_UNNAMED, strlen(SHARED_UNNAMED)) == 0))
        return "invalid shared key id";
    const struct vici_node *owners = vici_find(root, "owners");
    if (strcasecmp(vici_get(root, "type"), "ppk") == 0 && (!owners || !owners->child))
        return "a PPK needs the identity that it goes by: expected owners (id = NAME)";
    if (strcasecmp(vici_get(root, "type"), "eap") == 0 && (!owners || !owners->child))
        return "an EAP secret needs the identity that it goes by: expected owners (id = NAME)";
    return check_owners(owners);
}
