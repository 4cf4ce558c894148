"""A headless Chromium that is looked over the shoulder: what its console says is a fault."""

import base64
import os
import shutil

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rig import PASSWORD, Failure, expect, until

SIZES = {1280: (1280, 900), 390: (390, 844)}


class Browser:
    def __init__(self, broker, chromium, driver, shots):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars",
                     "--window-size=1280,900"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.broker = broker
        self.shots = shots
        shutil.rmtree(shots, ignore_errors=True)
        os.makedirs(shots)

    def open(self, path):
        self.driver.get(self.broker.url + path)

    def come_in(self):
        self.log_in()
        self.until_text("Clients online")

    def log_in(self, password=PASSWORD, name="admin"):
        self.open("/login")
        field = self.find("input[name=username]")
        field.clear()
        field.send_keys(name)
        self.find("input[name=password]").send_keys(password, Keys.ENTER)

    def forget_login(self):
        """Away from the page first: it asks for what is new, and would be told, and the console with it, that nobody is logged in."""
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def type(self, selector, text):
        """In the place of what is there."""
        field = self.find(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text if text else Keys.DELETE)

    def pick(self, selector, text):
        """Of a list to choose from."""
        self.find(selector)
        self.click(f"{selector} option", text)

    def is_logged_in(self):
        return any(cookie["name"] == "rollcall" for cookie in self.driver.get_cookies()) and "/login" not in self.driver.current_url

    def find(self, selector):
        def look():
            try:
                found = self.driver.find_element(By.CSS_SELECTOR, selector)
                return found if found.is_displayed() else None
            except (NoSuchElementException, StaleElementReferenceException):
                return None

        return until(f"{selector} on {self.driver.current_url}", look)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector="main"):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def until_text(self, text, selector="main"):
        until(f"{text!r} in {selector}", lambda: text in self.text(selector))

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)", selector)

    def click(self, selector, text):
        """Clicks the first of these with this text once it is there and can be."""
        def look():
            try:
                for element in self.all(selector):
                    if element.text == text and element.is_displayed() and element.is_enabled():
                        element.click()
                        return True
            except StaleElementReferenceException:
                pass
            return False

        until(f"{selector} {text!r}", look)

    def press(self, text, within="body"):
        self.click(f"{within} button", text)

    def keys(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self):
        """What a screen reader would name where the focus is."""
        return self.run("const it = document.activeElement; return (it.innerText || it.getAttribute('aria-label') || it.name || it.tagName).trim()")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def no_faults(self, expected=()):
        """The console has said nothing, violations of the policy included; `expected` are parts of what it may."""
        faults = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        faults = [fault for fault in faults if not any(part in fault for part in expected)]
        if faults:
            raise Failure(f"the console says on {self.driver.current_url}: {faults}")

    def look(self, scheme, width):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        wide, high = SIZES[width]
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": width < 500})

    def shoot(self, name, width):
        expect(self.run("return document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than {width} px")
        high = min(self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]["height"], 2400)
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {
            "format": "png", "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "width": width, "height": high, "scale": 1}})
        with open(os.path.join(self.shots, f"{name}.png"), "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def end(self):
        self.driver.quit()
