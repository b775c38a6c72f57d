import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";
import { account, equal, required, url } from "./scenario.js";

const anonymous = createClient<paths>({ baseUrl: url });
const registered = await anonymous.POST("/api/user/register", { body: account });
// The status is 202, without a user, if the server requires a verified email address.
equal(registered.response.status, 201);
const user = required(registered.data) as components["schemas"]["User"];
equal(user.email, account.email);
equal(user.name, null);

const conflict = await anonymous.POST("/api/user/register", { body: account });
equal(required(conflict.error).status, 409);
equal(typeof required(conflict.error).request_id, "string");

const { token } = required((await anonymous.POST("/api/user/login", { body: account })).data);
const client = createClient<paths>({
  baseUrl: url,
  headers: { Authorization: `Bearer ${token}` },
});
equal(required((await client.GET("/api/user")).data).id, user.id);

const changed = await client.PATCH("/api/user", { body: { name: "Susan 👍" } });
equal(required(changed.data).name, "Susan 👍");

const removed = await client.DELETE("/api/user");
equal(removed.response.status, 200);

const rejected = await client.GET("/api/user");
equal(required(rejected.error).status, 401);
