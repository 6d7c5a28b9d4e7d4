@echo off
rem Starts Text Diffusion WebUI on Windows. Not run by us: webui.sh is the tested one. Delete .venv to install afresh.
setlocal
set "ROOT=%~dp0"
set "VENV=%ROOT%.venv"
if not defined PYTHON set "PYTHON=python"
set PIP_DISABLE_PIP_VERSION_CHECK=1
set PIP_NO_INPUT=1
set GRADIO_ANALYTICS_ENABLED=False
fc /b "%ROOT%requirements.txt" "%VENV%\installed.txt" >nul 2>&1 && goto start
echo Installing Python packages into %VENV% (with the CPU build of torch 0.3 GB to download, 1.4 GB on disk).
"%PYTHON%" -c "import sys; sys.exit(sys.version_info < (3, 11))" || (echo Python 3.11 or newer is needed; set PYTHON to it. & exit /b 1)
"%PYTHON%" -m venv --clear "%VENV%" || exit /b 1
"%VENV%\Scripts\python" -m pip install --progress-bar off -r "%ROOT%requirements.txt" || exit /b 1
copy /y "%ROOT%requirements.txt" "%VENV%\installed.txt" >nul
:start
"%VENV%\Scripts\python" "%ROOT%app.py" %*
