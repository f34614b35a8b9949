"""Pages for people, at `/`: what `/v1` answers, shown; drawn here, and working without JavaScript.

    app         routes become handlers: who is here, is this form ours, which page, errors as pages
    routes      every page in one table
    visit       one request as a page sees it: `ask`, `form`, `render`, `redirect`
    session     the sealed cookie; CSRF tokens
    guard       a form that somebody else's page sent is refused; who a proxy says is here
    draft       a form that came when its session was over, kept while its owner signs in
    forms       what was typed, and what is wrong with it, by pointer
    templates   Jinja2: one environment, always escaping; filters for numbers, times, sizes
    charts      numbers become the geometry of an SVG; pure
    maps        places on earth become the geometry of an SVG; pure
    spots       vehicles as a map draws them, with names where there is room; pure
    tiles       pictures of a tile server under a map, where one is configured; pure
    rows        a filter as rows, and as the pattern that the API takes; pure
    words       states and reasons in sentences; pure
    times       times as they are shown, as long as the script writes them; pure
    became      what became of events, deliveries and replays, in sentences; pure
    noted       what entries of the audit are about, by name; pure
    hints       what a failed attempt usually means; pure
    timeline    where the time of an attempt went, as a line; pure
    curl        a request as a command; pure
    samples     receivers, filled for one webhook
    navigation  places to go to
    theme       the colours of a portal link, readable on every ground
    assets      the files of static/, named by their content
    views/      one module per noun: functions that take a Visit and return a response
    templates/  one file per page, `base.html` around it, `macros.html` for all that repeats
    static/     style.css, app.js, icon.svg: written by hand, no third party's

**One set of rules.** A page asks for resources by route, as documentation names them:

    found = await visit.ask("GET /v1/subscriptions/{id}", id=id_)

That is the handler of the API, called in this process with this caller (`services/api/inside.py`): the
same scopes, parameters, cursors and faults. Nothing is shown that `/v1` doesn't answer, and no rule is
written here again. A route that is missing is a page that is missing: add it to `/v1` first.

**To add a page.** 1. A view in `views/`: `async def lanes(visit: Visit) -> web.StreamResponse`, ending in
`return visit.render("lanes.html", …)`. 2. Its template, `{% extends "base.html" %}`, made of macros.
3. A line in `routes.py`, and in `navigation.py` if it is a place to go to. 4. Its name in
`tests/browser/pages.py`, so that every page is looked at in Chromium: axe, console, layout shift,
360 px, both themes, size; and `make screenshots` shows it. 5. Tests of what people do there.

**Forms.** `POST`, urlencoded, with `{{ csrf() }}`; a view that changes something ends in
`visit.redirect(path, note="Paused.")`. It catches `FaultsError` and renders the page again, status 422,
with `Form(values, error.faults)`: what was typed stays, each fault stands beside its field. What makes
something is asked with `once=True`: the same form sent twice, or its answer reloaded, makes one, and
the answer is the same again (an `Idempotency-Key` of the page and of what was typed). A form that comes
when its session is over changes nothing and comes back with what was typed (`draft.py`). Filters and
searches are `GET`, so that a list has an address to share.

**Live.** A region `<div id="tail" data-swap>` is replaced by the one of the same id from a fresh copy of
the page. Three things make a fresh copy: `data-live="/live?of=deliveries"` on the body's main part
(server-sent events: something happened), `data-refresh="5"` (every so many seconds, for a job), and a
form with `data-enhance` (its answer), or one button of a form with `data-into`. What a form was answered
stays until the next answer where the region has `data-swap="answer"`. So the server draws everything
once, and without JavaScript reloading the page shows the same. A form in an answer that has
`data-goes-on` is sent by itself: the next step of a test day. A stream is held only while somebody
looks at the page; of one key there are a few at once, and a page that is refused one is fetched every
five seconds, says so, and asks again. JavaScript also writes times in the viewer's zone, copies, and
adds up what ticked event types bring.

**Nothing from elsewhere.** The Content-Security-Policy names this origin alone, without inline script or
style: no `style=""`, no `onclick`; drawings use SVG attributes and classes. Pictures alone may come from
another: the logo of a portal link, and on the map the tiles of a server that is configured. Colours,
sizes and spaces are custom properties in `style.css`.

**Behind a portal link** (`/portal/…`) the same pages show one customer's webhooks: the caller has a
`link`, and the API is narrow for it. A route of `/v1` is closed to links until its line in
`api/routes.py` gives it a `reach`; ask `visit.has(route)` before offering what a link may not have, and
name the page's path in `navigation.py` if links have it. Other sites embed only what a link lets them:
`visit.origins`.

**Errors.** Raise what the API raises: `ForbiddenError`, `NotFoundError`, an outage. The API's own table
(`api/problems.py`) says what each is, and `app` shows it as a page that says what to do.
"""
