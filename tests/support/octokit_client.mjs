// Asks `serve` with GitHub's client for JavaScript in enterprise mode, and prints what it parsed.
// node octokit_client.mjs NODE_MODULES BASE_URL TOKEN

import { pathToFileURL } from "node:url";

const [modules, baseUrl, auth] = process.argv.slice(2);
const { Octokit } = await import(pathToFileURL(`${modules}/@octokit/rest/dist-src/index.js`));
const octokit = new Octokit({ baseUrl, auth });
const org = "acme";
const enterprise = "acme";
const reports = "/enterprises/{enterprise}/copilot/metrics/reports";

const { data: user } = await octokit.rest.users.getAuthenticated();
const { data: orgs } = await octokit.rest.orgs.listForAuthenticatedUser();
const { data: billing } = await octokit.rest.copilot.getCopilotOrganizationDetails({ org });
const { data: limit } = await octokit.rest.rateLimit.get();
const seats = await octokit.paginate(
  "GET /enterprises/{enterprise}/copilot/billing/seats",
  { enterprise, per_page: 3 },
  ({ data }) => data.seats,
);
const teams = await octokit.paginate(octokit.rest.teams.list, { org });
const members = await octokit.paginate(octokit.rest.teams.listMembersInOrg, {
  org,
  team_slug: teams[0].slug,
});
const { data: links } = await octokit.request(`GET ${reports}/users-28-day/latest`, { enterprise });
const records = [];
for (const link of links.download_links) {
  const lines = (await (await fetch(link)).text()).trim().split("\n");
  records.push(...lines.map((line) => JSON.parse(line)));
}
console.log(
  JSON.stringify({
    user: user.login,
    orgs: orgs.map(({ login }) => login),
    active: billing.seat_breakdown.active_this_cycle,
    remaining: limit.rate.remaining,
    seats: seats.map(({ assignee }) => assignee.login),
    teams: teams.map(({ slug }) => slug),
    members: members.map(({ login }) => login),
    records: records.length,
    interactions: records.reduce((sum, each) => sum + each.user_initiated_interaction_count, 0),
  }),
);
