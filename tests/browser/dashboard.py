"""The dashboard as an operator uses it, in headless Chromium."""

import os
import sys
import time
import traceback
from urllib.parse import quote

from selenium.webdriver.common.keys import Keys

from rig import PASSWORD, Broker, arguments, expect, until
from rig.browser import Browser
from rig.clients import Client, allow_files, crowd

CROWD = 20_000
EVIL = "<img src=x onerror=alert(1)>\"'&/+#"
LONG = "long-" + "0123456789abcdef" * 12
PAGES = (
    "/", "/alarms", "/clients", f"/client?id={LONG}", "/presence", "/roster", "/modules", "/subscriptions", "/retained", "/bans", "/listeners", "/nodes", "/operators", "/settings",
    "/console", "/api", "/users", "/rules", "/topic_metrics", "/slow_subscriptions", "/log_traces",
    f"/trace?id={LONG}",
)


def nobody_comes_in_with_a_wrong_password(broker, browser):
    browser.open("/modules")
    expect("/login" in browser.driver.current_url, "sent to the login page")
    browser.log_in("wrong")
    browser.until_text("Wrong user name or password.", "[role=alert]")
    browser.no_faults(["403 (Forbidden)"])
    browser.come_in()
    browser.no_faults()


def stopping_presence_is_asked_first_and_then_nobody_is_told(broker, browser):
    watcher = Client(broker, "watcher")
    watcher.subscribe("$SYS/brokers/+/clients/#")
    browser.open("/modules")
    browser.press("Stop")
    browser.until_text("nobody is told", "dialog")
    browser.press("Cancel", "dialog")
    browser.until_text("running")
    browser.press("Stop")
    browser.press("Stop", "dialog")
    browser.until_text("stopped", "[data-module=presence]")
    Client(broker, "unseen").leave()
    browser.press("Start")
    browser.until_text("running", "[data-module=presence]")
    browser.press("Test")
    browser.until_text("The test passed: 2 events came.")
    Client(broker, "seen").leave()
    until("the event of seen", lambda: any("/seen/disconnected" in message.topic for message in watcher.messages))
    expect(not any("/unseen/" in message.topic for message in watcher.messages), "an event while it was stopped")
    watcher.leave()


def turn(browser, module, change):
    code = browser.run("""
        const headers = { "x-csrf-token": document.querySelector("meta[name=csrf]").content };
        return fetch(`/api/v4/modules/${arguments[0]}/${arguments[1]}`, { method: "PUT", headers }).then(async (it) => (await it.json()).code);
        """, module, change)
    expect(code == 0, f"{change} of {module}: {code}")


def a_module_is_removed_and_added(broker, browser):
    browser.open("/modules")
    browser.until_text("running")
    for left in reversed(range(len(browser.all("[data-module]")))):
        browser.press("Remove")
        browser.press("Remove", "dialog")
        until("one card less", lambda: len(browser.all("[data-module]")) == left)
    browser.until_text("No module is added.")
    browser.press("Add module")
    browser.until_text("No configuration needed.", "dialog")
    browser.press("Add", "dialog")
    browser.until_text("running", "[data-module=presence]")
    # Nothing is retained without it.
    turn(browser, "retainer", "load")


def a_listener_is_stopped_and_started_and_who_is_connected_stays(broker, browser):
    client = Client(broker, "inside")
    browser.open("/listeners")
    row = "[data-listener=mqtt]"
    browser.until_text("running", row)
    browser.press("Stop", row)
    browser.until_text("Clients that are connected stay", "dialog")
    browser.press("Cancel", "dialog")
    browser.until_text("running", row)
    browser.press("Stop", row)
    browser.press("Stop", "dialog")
    browser.until_text("stopped", row)
    client.publish("plant", "on")
    browser.press("Start", row)
    browser.until_text("running", row)
    Client(broker, "new").leave()
    client.leave()


def clients_are_sent_elsewhere_and_taken_again(broker, browser):
    client = Client(broker, "inside")
    browser.open("/nodes")
    browser.until_text("live, this one", "[data-node]")
    browser.press("Send clients elsewhere…")
    browser.until_text("Sessions are kept", "dialog")
    browser.press("Cancel", "dialog")
    client.publish("plant", "on")
    browser.press("Send clients elsewhere…")
    browser.type("dialog [name=over]", "0s")
    browser.type("dialog [name=to]", "other.example:1883")
    browser.press("Send elsewhere", "dialog")
    browser.until_text("sends clients elsewhere", "[data-node]")
    browser.until_text("told to go to other.example:1883", "#draining")
    until("the end of its connection", lambda: not client.client.is_connected())
    browser.press("Take clients again")
    browser.press("Take them", "dialog")
    browser.until_text("live, this one", "[data-node]")
    client.leave()
    Client(broker, "new").leave()


def events_arrive_as_they_happen(broker, browser):
    browser.open("/presence")
    browser.until_text("Live", "#live")
    client = Client(broker, EVIL)
    row = "#feed tr[data-event=connected] button"
    until("its row", lambda: EVIL in browser.texts(row))
    browser.press("Pause")
    client.leave()
    Client(broker, "later").leave()
    browser.press("Go on")
    until("what came meanwhile", lambda: "later" in browser.text("#feed"))
    expect(browser.all("#feed img") == [], "a client id is no HTML")
    browser.click(row, EVIL)
    until("its timeline", lambda: browser.all("#one-timeline svg .bar"))
    browser.until_text("normal", "#one-timeline")


def the_roster_is_imported_maintained_and_exported(broker, browser):
    client = Client(broker, "lift-1")
    # Other checks have clients of that name; this one never comes.
    never = f"never {EVIL}"
    browser.open("/roster")
    browser.until_text("Nobody is on the roster.")
    file = os.path.join(browser.shots, "fleet.csv")

    def choose(text):
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
        browser.find("#import input[name=file]").send_keys(file)

    choose("clientid,tags,keepalive\nlift-1,hall;old,60\nlift-2,a/b,\nlift-3,,soon\n")
    browser.until_text("2 things are wrong", "#preview")
    for line in ("line 3: tags", "line 4: keepalive"):
        browser.until_text(line, "#preview")
    expect(browser.run("return document.getElementById('take').disabled"), "what is wrong is not imported")
    browser.find("#import input[name=file]").clear()
    choose(f'clientid,tags,keepalive,maintenance_until\nlift-1,hall;old,60,\nlift-2,hall,,2999-01-01T00:00:00Z\n"{never.replace(chr(34), chr(34) * 2)}",,,\n')
    browser.until_text("3 clients in the file", "#preview")
    browser.press("Import", "#import")
    browser.until_text("3 read: 3 added, 0 changed, 0 removed.", "body")

    def states():
        script = "return [...document.querySelectorAll('#rows tr')].map((row) => [row.dataset.client, row.querySelector('.state').textContent])"
        return dict(browser.run(script))

    until("the states", lambda: states() == {"lift-1": "online", "lift-2": "maintenance", never: "never seen"})
    expect(browser.all("main img") == [], "a client id is no HTML")
    browser.until_text("hall", "#group-rows")
    expect(browser.text("[data-tag=hall]").split() == ["hall", "2", "1", "0", "0", "0", "0", "1"], browser.text("[data-tag=hall]"))

    browser.pick("#filters select[name=state]", "never seen")
    until("one row", lambda: list(states()) == [never])
    browser.open("/roster?tag=hall")
    until("two rows", lambda: sorted(states()) == ["lift-1", "lift-2"])
    browser.press("Maintenance", "[data-client=lift-2]")
    browser.pick("dialog select", "no more: it is over")
    browser.press("Set", "dialog")
    until("it to be over", lambda: states()["lift-2"] == "never seen")
    browser.press("Maintenance", "[data-client=lift-1]")
    browser.press("Set", "dialog")
    browser.until_text("lift-1 is in maintenance until", "body")
    browser.press("Remove", "[data-client=lift-2]")
    browser.press("Remove", "dialog")
    until("one row", lambda: list(states()) == ["lift-1"])

    # What is exported is what can be imported.
    browser.run("""
        const make = URL.createObjectURL.bind(URL);
        URL.createObjectURL = (blob) => {
          blob.text().then((text) => { window.saved = text; });
          return make(blob);
        };
        """)
    browser.press("Export CSV")
    until("the file", lambda: browser.run("return window.saved !== undefined"))
    saved = browser.run("return window.saved")
    expect(saved.startswith("clientid,tags,keepalive,maintenance_until\n") and "lift-1,hall;old,60,2" in saved, saved)
    browser.open("/roster")
    until("the rest", lambda: len(states()) == 2)
    browser.find("#import input[name=replace]").click()
    choose(saved.replace("lift-1,hall;old,60,", "lift-1,hall,60,"))
    browser.until_text("2 clients in the file", "#preview")
    browser.press("Import", "#import")
    browser.until_text("2 read: 0 added, 1 changed, 0 removed.", "body")
    client.leave()
    until("it to be away", lambda: states()["lift-1"] == "maintenance")
    for name in list(states()):
        browser.press("Remove", f"[data-client={quote_css(name)}]")
        browser.press("Remove", "dialog")
        until("it to be gone", lambda: name not in states())


def quote_css(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def a_flood_is_told_together_and_the_feed_stays_small(broker, browser):
    browser.open("/presence")
    browser.until_text("Live", "#live")
    for one in crowd(broker, 2_000):
        one.close()
    until("a row for many", lambda: browser.all("#feed tr[data-flood]"))
    # A page that can't keep up is told how many it has missed.
    until("all of them went", lambda: int(browser.text("#went").replace(",", "")) >= 2_000 or "not shown" in browser.text("#feed"))
    expect(len(browser.all("#feed tr")) <= 200, "the feed is bounded")


def a_client_is_kicked(broker, browser):
    client = Client(broker, LONG)
    client.subscribe("plant/+/state")
    gone = []
    client.client.on_disconnect = lambda *_: (gone.append(True), client.client.loop_stop())
    browser.open("/clients")
    browser.find("input[name=text]").send_keys("long-", Keys.ENTER)
    until("only its row", lambda: browser.texts("#rows a") == [LONG])
    browser.click("#rows a", LONG)
    browser.until_text("plant/+/state")
    browser.press("Kick")
    browser.press("Cancel", "dialog")
    browser.press("Kick")
    browser.press("Kick", "dialog")
    until("its end", lambda: gone)
    browser.until_text("kicked", "#timeline")


def retained_messages_are_looked_at_and_deleted(broker, browser):
    client = Client(broker, "keeper")
    client.publish("plant/1/state", '{"ok":true}', retain=True)
    client.publish(f"<b>{EVIL.strip('+#/')}</b>", bytes(range(32)), retain=True)
    browser.open("/retained")
    browser.find("input[name=filter]").send_keys("plant/#", Keys.ENTER)
    until("one row", lambda: browser.text("#rows").count("Delete") == 1)
    browser.press("plant/1/state")
    browser.until_text('"ok": true', "dialog pre")
    browser.press("Hex", "dialog")
    browser.until_text("7b 22 6f 6b", "dialog pre")
    browser.press("Close", "dialog")
    browser.press("Delete")
    browser.press("Delete", "dialog")
    browser.until_text("Nothing matches.")
    client.leave()


def topics_are_counted_and_traced(broker, browser):
    browser.open("/topic_metrics")
    browser.until_text("does not run")
    for module in ("topic_metrics", "slow_subscriptions", "trace"):
        turn(browser, module, "load")
    browser.open("/topic_metrics")
    browser.find("#add input[name=topic]").send_keys(EVIL.replace("#", "").replace("+", ""))
    browser.press("Count its messages")
    browser.until_text("img src=x", "#topics")
    browser.find("#add input[name=topic]").send_keys("counted")
    browser.press("Count its messages")
    browser.until_text("counted", "#topics")
    browser.open("/log_traces")
    browser.find("#add input[name=name]").send_keys("one")
    browser.find("#add input[name=value]").send_keys("tracer")
    browser.press("Trace", "#add")
    browser.until_text("running", "#traces")
    client = Client(broker, "tracer")
    client.subscribe("counted")
    client.publish("counted", b"x")
    client.leave()
    until("what it did to be written", lambda: "DISCONNECTED" in browser.run('return fetch("/api/v4/trace/one/download").then((it) => it.text())'))
    browser.press("Stop", "#traces")
    browser.until_text("stopped", "#traces")
    browser.press("Remove", "#traces")
    browser.press("Remove", "dialog")
    browser.until_text("There is no trace.")
    browser.open("/slow_subscriptions")
    browser.until_text("No delivery was slow lately.")
    browser.open("/topic_metrics")
    until("it to be counted", lambda: "1" in browser.find("#topics").text)
    for _ in range(2):
        browser.press("Remove", "#topics")
    browser.until_text("No topic's messages are counted.")
    for module in ("topic_metrics", "slow_subscriptions", "trace"):
        turn(browser, module, "unload")


def a_key_is_made_and_taken_back(broker, browser):
    browser.open("/settings")
    browser.until_text("ROLLCALL_ADMIN__PASSWORD")
    expect(PASSWORD not in browser.text(), "the password is not shown")
    browser.find("#add-key input[name=name]").send_keys("backup")
    browser.press("Add key")
    expect(len(browser.find("#secret").text) > 20, "its secret")
    browser.press("I have it", "dialog")
    browser.until_text("backup", "#keys")
    browser.press("Remove", "#keys")
    browser.press("Remove", "dialog")
    until("no key", lambda: "backup" not in browser.text("#keys"))


def who_is_banned_goes_until_the_ban_is_lifted(broker, browser):
    client = Client(broker, EVIL)
    gone = []
    client.client.on_disconnect = lambda *_: (gone.append(True), client.client.loop_stop())
    browser.open("/clients")
    browser.click("#rows a", EVIL)
    browser.find("#ban").click()
    until("the form to be filled", lambda: browser.find("#add-ban input[name=who]").get_attribute("value") == EVIL)
    browser.find("#add-ban input[name=reason]").send_keys("too loud")
    browser.press("Ban", "#add-ban")
    browser.until_text("goes now", "dialog")
    browser.press("Ban", "dialog")
    until("its end", lambda: gone)
    browser.until_text("too loud", "#rows")
    expect(browser.all("main img") == [], "a client id is no HTML")
    browser.press("Lift", "#rows")
    browser.press("Lift", "dialog")
    browser.until_text("Nobody is banned.")
    Client(broker, EVIL).leave()


def add_module(browser, name):
    """If another check has removed it."""
    browser.open("/modules")
    until("the list", lambda: browser.run("return document.querySelector('[aria-busy=true]') === null"))
    if browser.all(f"[data-module={name}]"):
        return
    browser.press("Add module")
    browser.find(f"dialog input[value={name}]").click()
    browser.press("Add", "dialog")
    browser.until_text("running", f"[data-module={name}]")


def users_are_added_and_rules_say_who_may_what(broker, browser):
    for module in ("users", "acl_internal"):
        add_module(browser, module)
    browser.open("/users")
    browser.until_text("No user was added.")
    browser.find("#add input[name=username]").send_keys(EVIL)
    browser.find("#add input[name=password]").send_keys("secret")
    browser.press("Add", "#add")
    browser.until_text(EVIL, "#rows")
    expect(browser.all("main img") == [], "a user name is no HTML")
    browser.press("Password", "#rows")
    browser.find("dialog input[name=password]").send_keys("another")
    browser.press("Change", "dialog")
    browser.until_text("has another password", "body")

    browser.open("/rules")
    for field, text in (("clientid", "c"), ("topic", "secret/+")):
        browser.find(f"#who input[name={field}]").send_keys(text)
    browser.pick("#who select[name=action]", "subscribe with")
    browser.press("Ask", "#who")
    browser.until_text("It may, by no rule", "#verdict")
    client = Client(broker, "reader")
    client.subscribe("secret/a")
    browser.find("#add input[name=user]").send_keys(f"{EVIL}, other")
    browser.press("Add", "#add")
    browser.until_text(f"user {EVIL} or user other", "#rows")
    expect(browser.all("main img") == [], "nor is it in a rule")
    browser.find("#add textarea[name=topics]").send_keys("secret/#")
    browser.press("Add", "#add")
    browser.until_text("1 subscription ended", "body")
    browser.run("scrollTo(0, 0)")
    browser.press("Ask", "#who")
    browser.until_text("It may not, by /auth/rules, rule 1", "#verdict")
    expect("secret/#" in browser.text("#rows tr[aria-current]"), "the rule that decides is shown")
    browser.press("Remove", "#rows tr")
    browser.press("Remove", "dialog")
    until("one rule to be left", lambda: len(browser.all("#rows tr")) == 1)
    browser.press("Forget them")
    browser.press("Forget", "dialog")
    until("none to be left", lambda: browser.all("#rows tr") == [])
    client.leave()
    browser.open("/users")
    browser.press("Remove", "#rows")
    browser.press("Remove", "dialog")
    browser.until_text("No user was added.")


def changes_that_are_there(browser):
    """Whether anything on the page offers one."""
    return [it.text for it in browser.all("[data-change]") if it.is_displayed()]


def operators_see_what_they_may_and_no_more(broker, browser):
    browser.open("/operators")
    for name, role in (("looks", "viewer"), ("works", "operator")):
        browser.find("#add input[name=username]").send_keys(name)
        browser.find("#add input[name=password]").send_keys("long enough")
        browser.pick("#add select[name=role]", role)
        browser.press("Add", "#add")
        browser.until_text(role, f"[data-operator={name}]")
    browser.until_text("set by the configuration", "[data-operator=admin]")
    client = Client(broker, "watched")
    client.publish("plant/seen", "1", retain=True)
    for name, seen in (("looks", {}), ("works", {"/alarms": ["Forget"], "/retained": ["Delete"], "/bans": ["Ban"], "/listeners": ["Stop"], "/nodes": ["Send clients elsewhere"], "/client?id=watched": ["Kick"]})):
        browser.press("Log out")
        browser.log_in("long enough", name)
        browser.until_text("Clients online")
        for page in PAGES:
            browser.open(page.replace(LONG, "watched"))
            until(f"{page} to be filled", lambda: browser.run("return document.querySelector('[aria-busy=true]') === null"))
            browser.run("return new Promise((done) => setTimeout(done, 200))")
            wanted = seen.get(page.replace(LONG, "watched"), [])
            found = changes_that_are_there(browser)
            expect(bool(found) == bool(wanted) and all(any(one in it for it in found) for one in wanted), f"{name} is offered {found} on {page}")
    # What is theirs they may: the own password.
    browser.open("/settings")
    for field, text in (("old", "long enough"), ("new", "longer still"), ("again", "longer still")):
        browser.find(f"#password input[name={field}]").send_keys(text)
    browser.press("Change password")
    until("the login page", lambda: "/login" in browser.driver.current_url)
    browser.log_in("longer still", "works")
    browser.until_text("Clients online")
    browser.press("Log out")
    browser.come_in()
    browser.open("/operators")
    for name in ("looks", "works"):
        browser.press("Remove", f"[data-operator={name}]")
        browser.press("Remove", "dialog")
        until("it to be gone", lambda: browser.all(f"[data-operator={name}]") == [])
    client.publish("plant/seen", b"", retain=True)
    client.leave()
    browser.no_faults(["401 (Unauthorized)"])


def the_console_speaks_mqtt(broker, browser):
    client = Client(broker, "other")
    client.publish("plant/kept", '{"kept":true}', retain=True)
    client.subscribe("from/console")
    browser.open("/console")
    until("its listener", lambda: broker.ws in browser.find("#connection input[name=url]").get_attribute("value"))
    browser.type("#connection input[name=clientid]", "console-1")
    browser.press("Connect")
    browser.until_text("Connected", "#status")
    browser.type("#subscribe input[name=filter]", "plant/#")
    browser.press("Subscribe")
    browser.until_text("retained", "#messages")
    browser.until_text('"kept": true', "#messages")
    for number in range(3):
        client.publish(f"plant/{number}", bytes((0, 1, 254, number)))
    browser.until_text("00 01 fe 02", "#messages")
    client.publish("plant/html", EVIL)
    browser.until_text(EVIL, "#messages")
    expect(browser.all("#messages img") == [], "a payload is no HTML")
    hues = browser.run("return [...document.querySelectorAll('#messages li')].map((it) => it.style.getPropertyValue('--hue'))")
    expect(len(hues) == 5 and len(set(hues)) > 2, f"topics have colours: {hues}")
    browser.type("#publish input[name=topic]", "from/console")
    browser.find("#publish textarea[name=payload]").send_keys("48 69")
    browser.pick("#publish select[name=form]", "Hex")
    for qos in "012":
        browser.pick("#publish select[name=qos]", qos)
        browser.press("Publish")
        until("it at the other client", lambda: [it.payload for it in client.messages] == [b"Hi"] * (int(qos) + 1))
    browser.find("#publish summary").click()
    browser.find("#publish input[name=contentType]").send_keys("text/x")
    browser.find("#publish textarea[name=userProperties]").send_keys("colour: red")
    browser.type("#publish input[name=topic]", "plant/props")
    browser.press("Publish")
    browser.until_text("text/x", "#messages")
    browser.until_text("red", "#messages")
    browser.type("#publish textarea[name=payload]", "4")
    browser.press("Publish")
    browser.until_text("pairs of the digits", "#toasts")
    for scheme, width in (("light", 1280), ("dark", 390)):
        browser.look(scheme, width)
        browser.shoot(f"console-busy-{width}-{scheme}", width)
    browser.look("light", 1280)
    for number in range(400):
        client.client.publish("plant/many", str(number), 0)
    client.publish("plant/last", "the last one")
    browser.until_text("the last one", "#messages")
    expect(len(browser.all("#messages li")) <= 300, "the feed is bounded")
    browser.press("Unsubscribe")
    browser.until_text("None from this page.")
    # Whoever takes its place is told of by the broker.
    Client(broker, "console-1").leave()
    browser.until_text("session taken over", "#hint")
    # A browser tells a page nothing of why it did not get in, so the page says what it knows.
    for address, why in ((f"ws://{broker.ws}/elsewhere", "Nobody let this page in"), (f"ws://{broker.closed}/mqtt", "listeners.closed.origins = ")):
        browser.type("#connection input[name=url]", address)
        browser.press("Connect")
        browser.until_text(why, "#hint")
        until("the end of it", lambda: browser.find("#connect").text == "Connect")
    browser.no_faults(["WebSocket connection to"])
    client.leave()


def the_rest_api_is_tried_from_its_page(broker, browser):
    client = Client(broker, EVIL)
    browser.open("/api")
    browser.find("#find").send_keys("get /clients/{clientid}")
    one = "details:first-of-type"
    until("one operation first", lambda: browser.texts(".operation .path")[:1] == ["/clients/{clientid}"])
    browser.find(f"{one} summary").click()
    browser.find(f"{one} input").send_keys(EVIL)
    browser.press("Send", one)
    browser.until_text("200 OK", f"{one} .result")
    browser.until_text('"connected": true', f"{one} .result")
    expect(browser.all("main img") == [], "a client id is no HTML")
    client.leave()
    browser.find("#find").clear()
    browser.find("#find").send_keys("put /modules/{module}/load")
    until("the other operation", lambda: browser.texts(".operation .path") == ["/modules/{module}/load"])
    browser.find(f"{one} summary").click()
    browser.find(f"{one} input").send_keys("presence")
    browser.press("Send", one)
    browser.until_text("already_started", f"{one} .result")


def all_of_it_works_without_a_mouse(broker, browser):
    browser.press("Log out")
    until("the login page", lambda: "/login" in browser.driver.current_url)
    browser.keys(PASSWORD, Keys.ENTER)
    browser.until_text("Clients online")
    browser.keys(Keys.TAB)
    expect(browser.focused() == "Skip to the content", f"first is {browser.focused()}")
    for _ in range(20):
        browser.keys(Keys.TAB)
        if browser.focused() == "Modules":
            break
    browser.keys(Keys.ENTER)
    browser.until_text("running", "[data-module=presence]")
    for _ in range(30):
        browser.keys(Keys.TAB)
        if browser.focused() == "Stop":
            break
    expect(browser.run("return getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is seen")
    browser.keys(Keys.ENTER)
    until("the question", lambda: browser.focused() == "Cancel")
    browser.keys(Keys.ESCAPE)
    until("back where it was", lambda: browser.focused() == "Stop")
    browser.until_text("running", "[data-module=presence]")


def rules_of_a_module_are_tables_in_its_form(broker, browser):
    browser.open("/modules")
    form = "[data-settings=presence]"
    browser.click(f"{form} summary", "Settings")
    rules = f"{form} [data-field=availability]"

    def press(text, within):
        # The head of the page may stand over what is just scrolled into view.
        browser.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", within)
        browser.press(text, within)

    def save():
        button = f"{form} form > button:last-child"
        browser.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", button)
        browser.click(button, "Save settings")

    press("Add to Availability", rules)
    browser.type(f"{rules} input[name=topic]", "devices/${clientid}/availability")
    browser.type(f"{rules} input[name=match]", "dev-*")
    save()
    browser.until_text("Settings of Online and Offline Notification are kept.", "#toasts")
    watcher = Client(broker, "watcher")
    watcher.subscribe("devices/#")
    Client(broker, "dev-1").leave()
    until("both changes", lambda: [message.payload for message in watcher.messages] == [b"online", b"offline"])
    watcher.leave()
    browser.open("/modules")
    browser.click(f"{form} summary", "Settings")
    until("the rule", lambda: browser.run("return document.querySelector(arguments[0])?.value", f"{rules} input[name=match]") == "dev-*")
    press("Add to Availability", rules)
    save()
    browser.until_text("availability, entry 2: topic", "#toasts")
    press("Remove", f"{rules} fieldset:nth-child(2)")
    press("Remove", rules)
    save()
    until("no rule", lambda: "dev-*" not in str(browser.run("return fetch('/api/v4/modules/presence/config').then((it) => it.text())")))
    browser.no_faults(["400 (Bad Request)"])


def what_is_set_outlives_a_restart(broker, browser):
    browser.open("/modules")
    browser.press("Stop")
    browser.press("Stop", "dialog")
    browser.until_text("stopped", "[data-module=presence]")
    browser.open("/")
    browser.until_text("Live", "#live")
    broker.stop()
    browser.until_text("Not connected", "#live")
    broker.start()
    # Logins end with the process; the stream finds out, before the page asks again for what it shows every ten seconds.
    until("the login page", lambda: "/login" in browser.driver.current_url, patience=6)
    browser.come_in()
    browser.open("/modules")
    browser.until_text("stopped", "[data-module=presence]")
    browser.press("Start")
    browser.until_text("running", "[data-module=presence]")
    browser.no_faults(["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "401 (Unauthorized)", "ERR_EMPTY_RESPONSE"])


def what_is_wrong_is_seen_on_every_page(broker, browser):
    browser.open("/modules")
    browser.press("Stop", "[data-module=presence]")
    browser.press("Stop", "dialog")
    for page in ("/retained", "/presence"):
        browser.open(page)
        browser.until_text("presence stopped", "#stopped-badge")
    browser.open("/alarms")
    browser.until_text("module_presence_stopped", "#active")
    browser.open("/modules")
    browser.press("Start", "[data-module=presence]")
    until("the badge to go", lambda: browser.text("#stopped-badge") == "")
    browser.open("/alarms")
    browser.until_text("module_presence_stopped", "#over")
    # A broker that does not answer is no broker of now.
    browser.open("/retained")
    browser.until_text("Times are of the broker’s time zone")
    broker.stop()
    browser.until_text("The broker does not answer.", "#stale")
    broker.start()
    until("the login page", lambda: "/login" in browser.driver.current_url)
    browser.log_in()
    browser.no_faults(["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "401 (Unauthorized)", "ERR_EMPTY_RESPONSE"])


def an_address_leads_where_it_says(broker, browser):
    browser.open("/client")
    browser.until_text("This address names no client")
    browser.open("/no/such/page")
    browser.until_text("There is nothing at /no/such/page")
    browser.no_faults(["404 (Not Found)"])
    client = Client(broker, EVIL)
    browser.forget_login()
    wanted = "/client?id=" + quote(EVIL, safe="")
    browser.open(wanted)
    browser.find("input[name=password]").send_keys(PASSWORD, Keys.ENTER)
    browser.until_text("online")
    expect(browser.text("#title") == EVIL, f"the page of {browser.text('#title')}")
    browser.forget_login()
    browser.open("/login?to=" + quote("//example.com/", safe=""))
    browser.find("input[name=password]").send_keys(PASSWORD, Keys.ENTER)
    browser.until_text("Clients online")
    client.leave()


def lists_and_charts_go_on_by_themselves(broker, browser):
    browser.open("/clients")
    browser.until_text("Client")
    client = Client(broker, "late-comer")
    until("its row", lambda: "late-comer" in browser.text("#rows"))
    browser.type("#filters [name=user]", "nobody-of-this-name")
    browser.until_text("Nothing matches.")
    browser.open("/")
    browser.until_text("late-comer", "#comings")
    browser.press("Day", "[role=group]")
    until("the day", lambda: all("1 d ago" in text for text in browser.texts(".charts .chart svg")))
    browser.run("document.querySelector('.charts svg').focus()")
    browser.keys(Keys.ARROW_LEFT)
    until("the time there", lambda: browser.text(".charts .when") != "")
    browser.press("5 minutes", "[role=group]")
    until("the minutes", lambda: all("5 min ago" in text for text in browser.texts(".charts .chart svg")))
    client.leave()


def every_page_is_fit_to_be_seen(broker, browser):
    clients = [Client(broker, name) for name in (EVIL, LONG, "dev-1", "dev-2")]
    for client in clients:
        client.subscribe("plant/+/state")
    clients[2].publish("plant/1/state", '{"temperature":21.5}', retain=True)
    clients[2].publish("<script>alert(1)</script>/" + "x" * 150, "1", retain=True)
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            browser.look(scheme, width)
            for page in PAGES:
                browser.open(page)
                name = page.strip("/").partition("?")[0] or "overview"
                until(f"{page} to be filled", lambda: browser.run("return document.querySelector('[aria-busy=true]') === null"))
                browser.run("return new Promise((done) => setTimeout(done, 300))")
                browser.shoot(f"{name}-{width}-{scheme}", width)
                expect(browser.run("return document.querySelectorAll('h1').length") == 1, f"{page} has one heading")
                unnamed = browser.run("return [...document.querySelectorAll('input:not(.vh), select')].filter((it) => it.labels.length === 0).length")
                expect(unnamed == 0, f"{page} has fields without labels")
                browser.no_faults()
    browser.look("light", 1280)
    for client in clients:
        client.leave()


def a_crowd_is_listed_and_nobody_waits(broker, browser):
    # Before the crowd: its library can't use sockets of higher numbers than 1023.
    client = Client(broker, "bystander")
    client.subscribe("echo")
    online = min(CROWD, broker.files - 500)
    for one in crowd(broker, CROWD - online, first=online, clean=False):
        one.close()
    sockets = crowd(broker, online)
    began = time.monotonic()
    browser.open("/clients")
    browser.find("input[name=text]").send_keys("crowd-", Keys.ENTER)
    until("its first page", lambda: "crowd-00049" in browser.text("#rows"))
    first = time.monotonic() - began
    waits = []
    began = time.monotonic()
    for page in range(1, 21):
        browser.press("Next")
        before = time.monotonic()
        client.publish("echo", b"x")
        waits.append(time.monotonic() - before)
        until("the next page", lambda: f"crowd-{page * 50:05}" in browser.text("#rows"))
    paged = (time.monotonic() - began) / 20
    print(f"  {CROWD} clients, {online} of them online: first page after {first:.2f} s, each next one {paged * 1000:.0f} ms; "
          f"a publish meanwhile at most {max(waits) * 1000:.1f} ms", flush=True)
    client.leave()
    for one in sockets:
        one.close()


CHECKS = (
    nobody_comes_in_with_a_wrong_password,
    stopping_presence_is_asked_first_and_then_nobody_is_told,
    a_module_is_removed_and_added,
    a_listener_is_stopped_and_started_and_who_is_connected_stays,
    clients_are_sent_elsewhere_and_taken_again,
    events_arrive_as_they_happen,
    the_roster_is_imported_maintained_and_exported,
    a_client_is_kicked,
    retained_messages_are_looked_at_and_deleted,
    topics_are_counted_and_traced,
    a_key_is_made_and_taken_back,
    who_is_banned_goes_until_the_ban_is_lifted,
    users_are_added_and_rules_say_who_may_what,
    operators_see_what_they_may_and_no_more,
    the_console_speaks_mqtt,
    the_rest_api_is_tried_from_its_page,
    all_of_it_works_without_a_mouse,
    rules_of_a_module_are_tables_in_its_form,
    what_is_set_outlives_a_restart,
    what_is_wrong_is_seen_on_every_page,
    an_address_leads_where_it_says,
    lists_and_charts_go_on_by_themselves,
    every_page_is_fit_to_be_seen,
    a_flood_is_told_together_and_the_feed_stays_small,
    a_crowd_is_listed_and_nobody_waits,
)


def main():
    told = arguments()
    files = allow_files(CROWD + 5_000)
    broker = Broker(told.program)
    broker.files = files
    browser = Browser(broker, told.chromium, told.driver, told.shots)
    failed = 0
    try:
        browser.come_in()
        for check in CHECKS:
            title = check.__name__.replace("_", " ")
            if told.only and told.only not in title and check is not CHECKS[0]:
                continue
            began = time.monotonic()
            try:
                if check is CHECKS[0]:
                    browser.forget_login()
                elif not browser.is_logged_in():
                    browser.come_in()
                check(broker, browser)
                browser.no_faults()
            except Exception as error:  # every fault of a check is its failure, and the others still run
                failed += 1
                print(f"browser: {title} ... FAILED: {error}", flush=True)
                traceback.print_exc()
                browser.driver.save_screenshot(os.path.join(told.shots, f"failed-{check.__name__}.png"))
                browser.driver.get_log("browser")
            else:
                print(f"browser: {title} ... ok ({time.monotonic() - began:.1f} s)", flush=True)
    finally:
        browser.end()
        broker.end()
    sys.exit(1 if failed else 0)


main()
