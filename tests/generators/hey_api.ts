import { createClient } from "./generated/client/index.js";
import { deleteUser, getUser, patchUser, postLogin, postRegister } from "./generated/index.js";
import { account, equal, required, url } from "./scenario.js";

const anonymous = createClient({ baseUrl: url });
const user = required((await postRegister({ client: anonymous, body: account })).data);
equal(user.email, account.email);
equal(user.name, null);

const conflict = await postRegister({ client: anonymous, body: account });
equal(required(conflict.error).status, 409);
equal(typeof required(conflict.error).request_id, "string");

const { token } = required((await postLogin({ client: anonymous, body: account })).data);
const client = createClient({
  baseUrl: url,
  auth: (scheme) => (scheme.scheme === "bearer" ? token : undefined),
});
equal(required((await getUser({ client })).data).id, user.id);

const changed = await patchUser({ client, body: { name: "Susan 👍" } });
equal(required(changed.data).name, "Susan 👍");

const removed = await deleteUser({ client });
equal(required(removed.response).status, 200);

const rejected = await getUser({ client });
equal(required(rejected.error).status, 401);
